use minijinja::context;
use minijinja::value::Value;

use super::environment::{self, message, without_generation};

fn render(template: &str, context: Value) -> Result<String, String> {
    let mut environment = environment::new();
    let added = environment.add_template_owned("template", without_generation(template));
    added.and_then(|()| environment.get_template("template")?.render(context)).map_err(|error| message(&error))
}

fn rendered(template: &str) -> String {
    render(
        template,
        context! { bos_token => "<s>", messages => [context! { role => "user", content => " Hi, \"é\" " }] },
    )
    .unwrap()
}

/// Expected texts are Jinja's, with the settings of transformers.
#[test]
fn white_space_is_jinjas() {
    assert_eq!(rendered("  {% if true %}\na\n  {% endif %}\nb\n"), "a\nb");
    assert_eq!(rendered("a\n\n\n"), "a\n\n");
    assert_eq!(rendered("x {%- if true -%} \n a {%- endif %}\n b"), "xa b");
    assert_eq!(rendered("{{ bos_token }}\n{{ nothing }}."), "<s>\n.");
}

#[test]
fn values_print_like_python() {
    assert_eq!(rendered("{{ none }} {{ true }} {{ 1.0 }} {{ 7 // 2 }} {{ 'a' ~ 1 }}"), "None True 1.0 3 a1");
}

#[test]
fn the_additions_of_transformers_are_there() {
    assert_eq!(rendered("{{ messages[0] | tojson }}"), r#"{"role": "user", "content": " Hi, \"é\" "}"#);
    assert_eq!(rendered("{{ [1, {'a': '<&>'}] | tojson(indent=2) }}"), "[\n  1,\n  {\n    \"a\": \"<&>\"\n  }\n]");
    assert_eq!(
        rendered(
            "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        ),
        "023"
    );
    assert_eq!(rendered("{%- generation -%} a {% endgeneration %}\nb {# generation #}"), "a b ");
    assert_eq!(rendered("{{ strftime_now('%Y') | length }}"), "4");
    let error = render("\n{{ raise_exception('no ' ~ 'tools') }}", context! {}).unwrap_err();
    assert_eq!(error, "line 2: no tools");
}

#[test]
fn methods_of_python_are_there() {
    assert_eq!(rendered("{{ messages[0].content.strip().upper() }}"), "HI, \"É\"");
    assert_eq!(rendered("{{ messages[0]['content'].split(',')[0] }}|{{ 'ab'.startswith('a') }}"), " Hi|True");
    assert_eq!(rendered("{% for key, value in {'a': 1}.items() %}{{ key }}={{ value }}{% endfor %}"), "a=1");
    assert_eq!(
        rendered("{% set ns = namespace(n=1) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
        "4"
    );
    assert_eq!(
        rendered(
            "{{ messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first | default('none') }}"
        ),
        "none"
    );
}

#[test]
fn no_template_runs_forever() {
    let forever = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    assert!(render(forever, context! {}).unwrap_err().contains("fuel"));
    let doubling =
        "{% set ns = namespace(x='12345678') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    assert!(render(doubling, context! {}).unwrap_err().contains("fuel"));
}

#[test]
fn no_template_takes_memory_without_bound() {
    for indent in ["65", "10 ** 12", "2 ** 62"] {
        let error = render(&format!("{{{{ [1] | tojson(indent={indent}) }}}}"), context! {}).unwrap_err();
        assert!(error.contains("indent must be at most 64"), "{error}");
    }
    for template in ["{{ 'a' * 10 ** 12 }}", "{{ [1] | batch(10 ** 12, 0) }}", "{{ 'a\nb' | indent(10 ** 12) }}"] {
        assert!(render(template, context! {}).is_err(), "{template}");
    }
    let endless = || render("{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}", context! {}).unwrap_err();
    // The stack of a thread of Python on musl.
    let error = std::thread::Builder::new().stack_size(1 << 20).spawn(endless).unwrap().join().unwrap();
    assert!(error.contains("recursion limit"), "{error}");
}

#[test]
fn syntax_errors_name_the_line() {
    let error = render("a\n{% if %}", context! {}).unwrap_err();
    assert!(error.starts_with("line 2: "), "{error}");
}
