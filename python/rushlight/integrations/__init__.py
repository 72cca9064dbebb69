"""Classes and functions for frameworks and engines: a module for each, which imports the framework.

Nothing here is imported by `import rushlight`. `pip install 'rushlight[langchain]'` installs the framework of
`rushlight.integrations.langchain` in a version that was tested, and so on.
"""
