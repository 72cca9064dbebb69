//! Pickle reader that runs no code.
//!
//! A pickle is a program for a stack machine. Python's machine imports and calls the functions that the program names. This
//! one knows the opcodes that `torch.save` emits and the names of [`Global`], and keeps a call as a [`Node::Call`] for the
//! reader to interpret. Any other name or opcode is an error.
//!
//! Values are `Copy`, borrow their text from the file, and refer to compound values by index. So memoised values are shared,
//! deep nesting causes no recursion, and each opcode takes a bounded amount of memory.

use std::collections::HashMap;

use safetensors::Dtype;

/// Maximum bytes of pickles. A tensor takes about 200 bytes, so a model of 1,000 tensors takes 200 kB. A hostile file can
/// make this reader use about a hundred times its bytes.
const MAX_BYTES: usize = 4 << 20;

/// Result whose error is the problem alone; the caller knows the file.
pub(super) type Result<T> = std::result::Result<T, String>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits: two's complement, little endian.
    Long(&'a [u8]),
    Text(&'a str),
    Global(Global),
    /// A compound value, by its index among [`Pickle`]'s nodes.
    Node(usize),
    /// A float; no tensor needs its value.
    Float,
}

#[derive(Debug)]
pub(super) enum Node<'a> {
    /// A tuple, made after all its items, so that it can't contain itself.
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A function and its arguments, not called.
    Call(Global, Value<'a>),
    /// A reference to something outside the pickle, by its id.
    Persistent(Value<'a>),
}

/// Names that a pickle may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// Makes a tensor of (storage, offset, size, stride, ...).
    RebuildTensor,
    /// Makes a parameter of (tensor, ...).
    RebuildParameter,
    /// Calls the function of (function, class, arguments, attributes), and adds the attributes to its result.
    RebuildFromType,
    /// Class of a storage of these elements.
    Storage(Dtype),
    /// Class of a tensor.
    Class,
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Self::Class,
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") | ("torch" | "torch.storage", "UntypedStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::BOOL),
            _ => {
                let full = format!("{module}.{name}");
                let shown: String = full.escape_debug().take(100).collect();
                return Err(format!("refused: {shown}; weights need dicts, tensors and their storages, nothing else"));
            }
        })
    }
}

/// Consecutive pickles of one file.
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Stream<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.get(..MAX_BYTES).unwrap_or(bytes);
        Self { bytes, rest: bytes }
    }

    /// Returns the number of bytes of the pickles read so far.
    pub(super) fn position(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// Reads one pickle.
    pub(super) fn read(&mut self) -> Result<Pickle<'a>> {
        let mut machine = Machine { input: self, stack: vec![], marks: vec![], memo: HashMap::new(), nodes: vec![] };
        let root = machine.run();
        let nodes = machine.nodes;
        match root {
            Ok(root) => Ok(Pickle { root, nodes }),
            Err(problem) => Err(format!("pickle, before byte {}: {problem}", self.position())),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| match self.bytes.len() {
            MAX_BYTES => format!("longer than {MAX_BYTES} bytes, which no state dict needs"),
            _ => "ends early".to_owned(),
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        // `take` returns N bytes, which the compiler can't see.
        self.take(N)?.try_into().map_err(|_| "ends early".to_owned())
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Reads a little-endian length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize> {
        let mut wide = [0; 8];
        wide.iter_mut().zip(self.array::<N>()?).for_each(|(to, from)| *to = from);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "ends early".to_owned())
    }

    /// Reads a text after its length of `N` bytes.
    fn text<const N: usize>(&mut self) -> Result<Value<'a>> {
        let length = self.length::<N>()?;
        Ok(Value::Text(utf8(self.take(length)?)?))
    }

    fn line(&mut self) -> Result<&'a str> {
        let length = self.rest.iter().position(|byte| *byte == b'\n').ok_or("ends early")?;
        let line = self.take(length)?;
        self.take(1)?;
        utf8(line)
    }

    /// Reads an integer in two's complement after its length of one byte.
    fn integer(&mut self) -> Result<Value<'a>> {
        let length = self.length::<1>()?;
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        if length > wide.len() {
            return Ok(Value::Long(bytes));
        }
        wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned())
}

/// Value that a pickle describes, with its nodes.
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    pub(super) nodes: Vec<Node<'a>>,
}

impl<'a> Pickle<'a> {
    pub(super) fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        let Value::Node(index) = value else { return None };
        self.nodes.get(index)
    }

    pub(super) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        let Node::Tuple(items) = self.node(value)? else { return None };
        Some(items)
    }

    pub(super) fn list(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        let Node::List(items) = self.node(value)? else { return None };
        Some(items)
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        let Node::Dict(items) = self.node(value)? else { return None };
        Some(items)
    }
}

const EMPTY: &str = "nothing on the stack";

struct Machine<'s, 'a> {
    input: &'s mut Stream<'a>,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at marks. The items above the last mark are a frame.
    marks: Vec<usize>,
    memo: HashMap<usize, Value<'a>>,
    nodes: Vec<Node<'a>>,
}

impl<'a> Machine<'_, 'a> {
    fn run(&mut self) -> Result<Value<'a>> {
        loop {
            match self.input.byte()? {
                b'.' => return self.pop(),                 // STOP
                0x80 => self.protocol()?,                  // PROTO
                0x95 => drop(self.input.take(8)?),         // FRAME, for readers that buffer
                b'(' => self.marks.push(self.stack.len()), // MARK
                b'q' => self.memoize::<1>()?,              // BINPUT
                b'r' => self.memoize::<4>()?,              // LONG_BINPUT
                0x94 => self.memoize_next()?,              // MEMOIZE
                b'a' => self.append()?,                    // APPEND
                b'e' => self.extend()?,                    // APPENDS
                b's' => self.set_item()?,                  // SETITEM
                b'u' => self.set_items()?,                 // SETITEMS
                b'b' => drop(self.pop()?),                 // BUILD, of attributes such as `_metadata`: not needed
                opcode => {
                    let value = self.value(opcode)?;
                    self.stack.push(value);
                }
            }
        }
    }

    /// Returns the value that an opcode pushes.
    fn value(&mut self, opcode: u8) -> Result<Value<'a>> {
        match opcode {
            b'N' => Ok(Value::None),                                                              // NONE
            0x88 => Ok(Value::Bool(true)),                                                        // NEWTRUE
            0x89 => Ok(Value::Bool(false)),                                                       // NEWFALSE
            b'K' => self.input.byte().map(|byte| Value::Int(byte.into())),                        // BININT1
            b'M' => self.input.array().map(|bytes| Value::Int(u16::from_le_bytes(bytes).into())), // BININT2
            b'J' => self.input.array().map(|bytes| Value::Int(i32::from_le_bytes(bytes).into())), // BININT
            0x8a => self.input.integer(),                                                         // LONG1
            b'G' => self.input.take(8).map(|_| Value::Float),                                     // BINFLOAT
            b'X' => self.input.text::<4>(),                                                       // BINUNICODE
            0x8c => self.input.text::<1>(),                                                       // SHORT_BINUNICODE
            b'h' => self.recall::<1>(),                                                           // BINGET
            b'j' => self.recall::<4>(),                                                           // LONG_BINGET
            b']' => Ok(self.make(Node::List(vec![]))),                                            // EMPTY_LIST
            b'}' => Ok(self.make(Node::Dict(vec![]))),                                            // EMPTY_DICT
            b')' => Ok(self.make(Node::Tuple(vec![]))),                                           // EMPTY_TUPLE
            0x85 => self.make_tuple(1),                                                           // TUPLE1
            0x86 => self.make_tuple(2),                                                           // TUPLE2
            0x87 => self.make_tuple(3),                                                           // TUPLE3
            b't' => self.pop_frame().map(|items| self.make(Node::Tuple(items))),                  // TUPLE
            b'c' => Global::named(self.input.line()?, self.input.line()?).map(Value::Global),     // GLOBAL
            0x93 => self.stack_global(),                                                          // STACK_GLOBAL
            b'R' => self.reduce(),                                                                // REDUCE
            b'Q' => self.pop().map(|id| self.make(Node::Persistent(id))),                         // BINPERSID
            other => Err(format!("opcode {other:#04x}, which torch.save does not use")),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.input.byte()? {
            2..=5 => Ok(()),
            other => Err(format!("protocol {other}; torch.save uses 2, and 3 to 5 are read")),
        }
    }

    fn memoize<const N: usize>(&mut self) -> Result<()> {
        let key = self.input.length::<N>()?;
        self.memo.insert(key, self.top()?);
        Ok(())
    }

    fn memoize_next(&mut self) -> Result<()> {
        self.memo.insert(self.memo.len(), self.top()?);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<Value<'a>> {
        let key = self.input.length::<N>()?;
        self.memo.get(&key).copied().ok_or_else(|| format!("memo {key} is empty"))
    }

    fn make(&mut self, node: Node<'a>) -> Value<'a> {
        self.nodes.push(node);
        Value::Node(self.nodes.len() - 1)
    }

    fn make_tuple(&mut self, length: usize) -> Result<Value<'a>> {
        let start = self.stack.len().checked_sub(length).filter(|start| *start >= self.floor()).ok_or(EMPTY)?;
        let items = self.stack.drain(start..).collect();
        Ok(self.make(Node::Tuple(items)))
    }

    fn stack_global(&mut self) -> Result<Value<'a>> {
        match (self.pop()?, self.pop()?) {
            (Value::Text(name), Value::Text(module)) => Global::named(module, name).map(Value::Global),
            _ => Err("a global whose name is not text".to_owned()),
        }
    }

    fn reduce(&mut self) -> Result<Value<'a>> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = function else {
            return Err("a call of something that is not a function".to_owned());
        };
        if function != Global::OrderedDict {
            return Ok(self.make(Node::Call(function, arguments)));
        }
        match self.node(arguments) {
            Some(Node::Tuple(items)) if items.is_empty() => Ok(self.make(Node::Dict(vec![]))),
            _ => Err("an OrderedDict with arguments".to_owned()),
        }
    }

    fn append(&mut self) -> Result<()> {
        let item = self.pop()?;
        self.list()?.push(item);
        Ok(())
    }

    fn extend(&mut self) -> Result<()> {
        let items = self.pop_frame()?;
        self.list()?.extend(items);
        Ok(())
    }

    fn set_item(&mut self) -> Result<()> {
        let (value, key) = (self.pop()?, self.pop()?);
        self.dict()?.push((key, value));
        Ok(())
    }

    fn set_items(&mut self) -> Result<()> {
        let items = self.pop_frame()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("a dict's key without a value".to_owned());
        };
        self.dict()?.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    /// Returns the height below which no item may be taken, so that the stack never sinks below a mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'a>> {
        let frame = self.stack.get(self.floor()..).unwrap_or_default();
        frame.last().copied().ok_or_else(|| EMPTY.to_owned())
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_frame(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.drain(mark..).collect())
    }

    fn list(&mut self) -> Result<&mut Vec<Value<'a>>> {
        match self.node(self.top()?) {
            Some(Node::List(items)) => Ok(items),
            _ => Err("items for something that is not a list".to_owned()),
        }
    }

    fn dict(&mut self) -> Result<&mut Vec<(Value<'a>, Value<'a>)>> {
        match self.node(self.top()?) {
            Some(Node::Dict(items)) => Ok(items),
            _ => Err("keys for something that is not a dict".to_owned()),
        }
    }

    fn node(&mut self, value: Value<'a>) -> Option<&mut Node<'a>> {
        let Value::Node(index) = value else { return None };
        self.nodes.get_mut(index)
    }
}
