//! Evaluates an expression over one object.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Number, Value};

use crate::wait::custom::words::class;

/// Steps that one evaluation may take.
const STEPS: u32 = 10_000;
/// Longest pattern of `matches`, and the memory it may take compiled.
const PATTERN: usize = 1000;
const PATTERN_MEMORY: usize = 1 << 20;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum<'a> {
    Json(Cow<'a, Value>),
    Duration(SignedDuration),
    Time(Timestamp),
}

impl Datum<'_> {
    const NULL: Self = Self::Json(Cow::Owned(Value::Null));

    fn is_null(&self) -> bool {
        matches!(self, Self::Json(value) if value.is_null())
    }

    /// Returns whether it is true; null and everything else is not.
    pub(super) fn is_true(&self) -> bool {
        matches!(self, Self::Json(value) if **value == Value::Bool(true))
    }

    /// Returns it as text for people: strings without quotes.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Json(value) => match value.as_ref() {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            },
            Self::Duration(duration) => format!("{duration:#}"),
            Self::Time(time) => time.to_string(),
        }
    }

    /// Returns it as a whole number, also one written as text.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Json(value) => crate::wait::custom::conditions::number(value),
            Self::Duration(_) | Self::Time(_) => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Json(value) => value.as_str(),
            Self::Duration(_) | Self::Time(_) => None,
        }
    }
}

impl From<Value> for Datum<'_> {
    fn from(value: Value) -> Self {
        Self::Json(Cow::Owned(value))
    }
}

impl From<bool> for Datum<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value).into()
    }
}

/// The names that an expression sees.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    variables: Vec<(String, Datum<'a>)>,
    steps: Cell<u32>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(variables: impl IntoIterator<Item = (&'static str, Datum<'a>)>) -> Self {
        let variables = variables.into_iter().map(|(name, datum)| (name.to_owned(), datum)).collect();
        Self { variables, steps: Cell::new(0) }
    }
}

type Evaluated<'a> = Result<Datum<'a>, String>;

/// Evaluates `expression`; each evaluation may take a bounded number of steps.
pub(super) fn evaluate<'a>(expression: &IdedExpr, scope: &Scope<'a>) -> Evaluated<'a> {
    scope.steps.set(0);
    Machine { scope, locals: Vec::new() }.run(expression)
}

struct Machine<'s, 'a> {
    scope: &'s Scope<'a>,
    locals: Vec<(&'s str, Datum<'a>)>,
}

impl<'s, 'a> Machine<'s, 'a> {
    fn step(&self) -> Result<(), String> {
        let steps = self.scope.steps.get() + 1;
        self.scope.steps.set(steps);
        if steps > STEPS { Err(format!("it takes more than {STEPS} steps")) } else { Ok(()) }
    }

    fn run(&mut self, at: &'s IdedExpr) -> Evaluated<'a> {
        self.step()?;
        Ok(match &at.expr {
            Expr::Literal(literal) => literal_value(literal)?.into(),
            Expr::Ident(name) => {
                let local = self.locals.iter().rev().find(|(known, _)| known == name).map(|(_, datum)| datum.clone());
                let global = || self.scope.variables.iter().find(|(known, _)| known == name);
                local.or_else(|| global().map(|(_, datum)| datum.clone())).unwrap_or(Datum::NULL)
            }
            Expr::Select(select) => {
                let operand = self.run(&select.operand)?;
                let found = field(operand, &select.field);
                if select.test { (!found.is_null()).into() } else { found }
            }
            Expr::List(list) => {
                let elements = list.elements.iter().map(|element| self.run(element).map(into_json));
                Value::Array(elements.collect::<Result<_, _>>()?).into()
            }
            Expr::Map(map) => {
                let mut made = Map::new();
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        let key = self.run(&entry.key)?.text();
                        let value = into_json(self.run(&entry.value)?);
                        made.insert(key, value);
                    }
                }
                Value::Object(made).into()
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::Call(call) => self.call(call)?,
            Expr::Struct(_) | Expr::Unspecified => return Err("not supported".to_owned()),
        })
    }

    fn comprehension(&mut self, of: &'s ComprehensionExpr) -> Evaluated<'a> {
        let range = self.run(&of.iter_range)?;
        let entries: Vec<(Value, Value)> = match range {
            Datum::Json(range) => match range.as_ref() {
                Value::Array(list) => {
                    list.iter().enumerate().map(|(at, value)| (Value::from(at), value.clone())).collect()
                }
                Value::Object(map) => map.iter().map(|(key, value)| (key.clone().into(), value.clone())).collect(),
                Value::Null => Vec::new(),
                other => return Err(format!("{} has no elements", type_name(other))),
            },
            Datum::Duration(_) | Datum::Time(_) => return Err("a time has no elements".to_owned()),
        };
        let keys_only = matches!(self.run(&of.iter_range)?, Datum::Json(range) if range.is_object());
        let depth = self.locals.len();
        let initial = self.run(&of.accu_init)?;
        self.locals.push((&of.accu_var, initial));
        for (key, value) in entries {
            if !self.run(&of.loop_cond)?.is_true() {
                break;
            }
            match &of.iter_var2 {
                Some(second) => {
                    self.locals.push((&of.iter_var, key.into()));
                    self.locals.push((second, value.into()));
                }
                None => self.locals.push((&of.iter_var, if keys_only { key } else { value }.into())),
            }
            let next = self.run(&of.loop_step);
            self.locals.truncate(depth);
            self.locals.push((&of.accu_var, next?));
        }
        let result = self.run(&of.result);
        self.locals.truncate(depth);
        result
    }

    fn call(&mut self, call: &'s CallExpr) -> Evaluated<'a> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::LOGICAL_AND, [a, b]) => return self.both(a, b, false),
            (operators::LOGICAL_OR, [a, b]) => return self.both(a, b, true),
            (operators::CONDITIONAL, [test, yes, no]) => {
                return if self.run(test)?.is_true() { self.run(yes) } else { self.run(no) };
            }
            (operators::NOT_STRICTLY_FALSE, [a]) => {
                return Ok(self.run(a).map_or(true, |value| value != false.into()).into());
            }
            (operators::NOT_EQUALS, [a, b]) => {
                let literal = [a, b].iter().any(|side| matches!(side.expr, Expr::Literal(LiteralValue::Null)));
                let (a, b) = (self.run(a)?, self.run(b)?);
                // Comparing with what is not there is false either way, apart from asking whether it is there.
                let comparable = literal || !(a.is_null() || b.is_null());
                return Ok((comparable && !equal(&a, &b)).into());
            }
            _ => {}
        }
        let arguments = call.target.iter().map(AsRef::as_ref).chain(&call.args).map(|argument| self.run(argument));
        let arguments: Vec<Datum<'a>> = arguments.collect::<Result<_, _>>()?;
        apply(name, &arguments)
    }

    /// `&&` and `||`: one side may fail when the other decides.
    fn both(&mut self, a: &'s IdedExpr, b: &'s IdedExpr, decides: bool) -> Evaluated<'a> {
        let a = self.run(a).map(|value| value.is_true());
        if a == Ok(decides) {
            return Ok(decides.into());
        }
        let b = self.run(b).map(|value| value.is_true());
        if b == Ok(decides) {
            return Ok(decides.into());
        }
        a.and(b)?;
        Ok((!decides).into())
    }
}

fn literal_value(literal: &LiteralValue) -> Result<Value, String> {
    Ok(match literal {
        LiteralValue::Boolean(value) => (*value.inner()).into(),
        LiteralValue::Int(value) => (*value.inner()).into(),
        LiteralValue::UInt(value) => (*value.inner()).into(),
        LiteralValue::Double(value) => (*value.inner()).into(),
        LiteralValue::String(value) => value.inner().into(),
        LiteralValue::Null => Value::Null,
        LiteralValue::Bytes(_) => return Err("bytes are not supported".to_owned()),
    })
}

/// Returns a field; null where it is not there.
fn field<'a>(of: Datum<'a>, name: &str) -> Datum<'a> {
    match of {
        Datum::Json(Cow::Borrowed(value)) => {
            value.get(name).map_or(Datum::NULL, |found| Datum::Json(Cow::Borrowed(found)))
        }
        Datum::Json(Cow::Owned(mut value)) => value.get_mut(name).map_or(Datum::NULL, |found| found.take().into()),
        Datum::Duration(_) | Datum::Time(_) => Datum::NULL,
    }
}

fn into_json(datum: Datum<'_>) -> Value {
    match datum {
        Datum::Json(value) => value.into_owned(),
        other => other.text().into(),
    }
}

fn equal(a: &Datum<'_>, b: &Datum<'_>) -> bool {
    match (a, b) {
        (Datum::Json(a), Datum::Json(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(_), Some(_)) => compare_numbers(a, b) == Some(Ordering::Equal),
            _ => a == b,
        },
        _ => a == b,
    }
}

fn compare_numbers(a: &Value, b: &Value) -> Option<Ordering> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn compare(a: &Datum<'_>, b: &Datum<'_>) -> Result<Option<Ordering>, String> {
    Ok(match (a, b) {
        (Datum::Duration(a), Datum::Duration(b)) => Some(a.cmp(b)),
        (Datum::Time(a), Datum::Time(b)) => Some(a.cmp(b)),
        (Datum::Json(x), Datum::Json(y)) => match (x.as_ref(), y.as_ref()) {
            (Value::Null, _) | (_, Value::Null) => None,
            (Value::Number(_), Value::Number(_)) => compare_numbers(x, y),
            (Value::String(x), Value::String(y)) => Some(x.cmp(y)),
            (x, y) => return Err(format!("cannot compare {} with {}", type_name(x), type_name(y))),
        },
        _ if a.is_null() || b.is_null() => None,
        _ => return Err("cannot compare a time with something else".to_owned()),
    })
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn apply<'a>(name: &str, arguments: &[Datum<'a>]) -> Evaluated<'a> {
    let ordered = |wanted: fn(Ordering) -> bool| match arguments {
        [a, b] => compare(a, b).map(|found| found.is_some_and(wanted).into()),
        _ => Err(format!("{name} takes two operands")),
    };
    Ok(match (name, arguments) {
        (operators::EQUALS, [a, b]) => equal(a, b).into(),
        (operators::LESS, _) => return ordered(Ordering::is_lt),
        (operators::LESS_EQUALS, _) => return ordered(Ordering::is_le),
        (operators::GREATER, _) => return ordered(Ordering::is_gt),
        (operators::GREATER_EQUALS, _) => return ordered(Ordering::is_ge),
        (operators::LOGICAL_NOT, [a]) if a.is_null() => Datum::NULL,
        (operators::LOGICAL_NOT, [a]) => (!a.is_true()).into(),
        (operators::IN, [a, within]) => match within {
            Datum::Json(within) => match within.as_ref() {
                Value::Array(list) => list.iter().any(|value| equal(a, &value.clone().into())).into(),
                Value::Object(map) => a.as_str().is_some_and(|key| map.contains_key(key)).into(),
                _ => false.into(),
            },
            Datum::Duration(_) | Datum::Time(_) => false.into(),
        },
        (operators::INDEX, [of, index]) => match (of, index.as_str()) {
            (_, Some(key)) => field(of.clone(), key),
            (Datum::Json(list), None) => {
                let at = index.number().and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| list.get(at)).map_or(Datum::NULL, |found| found.clone().into())
            }
            _ => Datum::NULL,
        },
        (
            operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
            [a, b],
        ) => {
            return arithmetic(name, a, b);
        }
        (operators::NEGATE, [a]) => return arithmetic(operators::SUBSTRACT, &Value::from(0).into(), a),
        ("dyn", [a]) => a.clone(),
        _ => return function(name, arguments),
    })
}

fn arithmetic<'a>(name: &str, a: &Datum<'a>, b: &Datum<'a>) -> Evaluated<'a> {
    if a.is_null() || b.is_null() {
        return Ok(Datum::NULL);
    }
    let (Datum::Json(x), Datum::Json(y)) = (a, b) else { return Err("cannot calculate with times".to_owned()) };
    match (x.as_ref(), y.as_ref()) {
        (Value::String(x), Value::String(y)) if name == operators::ADD => {
            return Ok(Value::String(format!("{x}{y}")).into());
        }
        (Value::Array(x), Value::Array(y)) if name == operators::ADD => {
            return Ok(Value::Array(x.iter().chain(y).cloned().collect()).into());
        }
        _ => {}
    }
    if let (Some(x), Some(y)) = (x.as_i64(), y.as_i64()) {
        let result = match name {
            operators::ADD => x.checked_add(y),
            operators::SUBSTRACT => x.checked_sub(y),
            operators::MULTIPLY => x.checked_mul(y),
            operators::DIVIDE => x.checked_div(y),
            _ => x.checked_rem(y),
        };
        return result.map(|result| Value::from(result).into()).ok_or_else(|| "the numbers overflow".to_owned());
    }
    let (Some(x), Some(y)) = (x.as_f64(), y.as_f64()) else {
        return Err(format!("cannot calculate with {} and {}", type_name(x), type_name(y)));
    };
    let result = match name {
        operators::ADD => x + y,
        operators::SUBSTRACT => x - y,
        operators::MULTIPLY => x * y,
        operators::DIVIDE => x / y,
        _ => return Err("% takes whole numbers".to_owned()),
    };
    Ok(Number::from_f64(result).map_or(Datum::NULL, |number| Value::Number(number).into()))
}

fn function<'a>(name: &str, arguments: &[Datum<'a>]) -> Evaluated<'a> {
    if arguments.iter().any(Datum::is_null) {
        // What is not there contains nothing and has no size.
        return Ok(match name {
            "size" => Value::from(0).into(),
            "contains" | "startsWith" | "endsWith" | "matches" => false.into(),
            _ => Datum::NULL,
        });
    }
    let wrong = || format!("{name} does not take this");
    let text = |at: usize| arguments.get(at).and_then(Datum::as_str).ok_or_else(wrong);
    let json = || match arguments.first() {
        Some(Datum::Json(value)) => Ok(value.as_ref()),
        _ => Err(wrong()),
    };
    Ok(match name {
        "size" => match json()? {
            Value::Array(list) => Value::from(list.len()).into(),
            Value::Object(map) => Value::from(map.len()).into(),
            Value::String(text) => Value::from(text.chars().count()).into(),
            _ => return Err(wrong()),
        },
        "contains" => text(0)?.contains(text(1)?).into(),
        "startsWith" => text(0)?.starts_with(text(1)?).into(),
        "endsWith" => text(0)?.ends_with(text(1)?).into(),
        "matches" => {
            let pattern = text(1)?;
            if pattern.len() > PATTERN {
                return Err("the pattern is too long".to_owned());
            }
            let pattern = regex::RegexBuilder::new(pattern).size_limit(PATTERN_MEMORY).build();
            pattern.map_err(|error| error.to_string())?.is_match(text(0)?).into()
        }
        "lowerAscii" => Value::from(text(0)?.to_ascii_lowercase()).into(),
        "upperAscii" => Value::from(text(0)?.to_ascii_uppercase()).into(),
        "split" => Value::from(text(0)?.split(text(1)?).collect::<Vec<_>>()).into(),
        "int" => match json()? {
            #[expect(clippy::cast_possible_truncation, reason = "as CEL does")]
            Value::Number(number) => number.as_i64().map_or_else(|| number.as_f64().map(|number| number as i64), Some),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .map(|number| Value::from(number).into())
        .ok_or_else(wrong)?,
        "double" => match json()? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .map(|number| Value::from(number).into())
        .ok_or_else(wrong)?,
        "string" => Value::from(arguments.first().map_or_else(String::new, Datum::text)).into(),
        "duration" => {
            Datum::Duration(text(0)?.parse().map_err(|_| format!("{:?} is no duration", text(0).unwrap_or_default()))?)
        }
        "timestamp" => {
            Datum::Time(text(0)?.parse().map_err(|_| format!("{:?} is no time", text(0).unwrap_or_default()))?)
        }
        "sum" => {
            let numbers = json()?.as_array().ok_or_else(wrong)?;
            let mut sum: Datum<'a> = Value::from(0).into();
            for number in numbers.iter().filter(|number| !number.is_null()) {
                sum = arithmetic(operators::ADD, &sum, &number.clone().into())?;
            }
            sum
        }
        "word" => Value::from(class(text(0)?).word()).into(),
        "at" => {
            let mut found = arguments.first().cloned().unwrap_or(Datum::NULL);
            for key in text(1)?.split('.') {
                found = match (key.parse::<usize>(), &found) {
                    (Ok(at), Datum::Json(list)) if list.is_array() => {
                        list.get(at).map_or(Datum::NULL, |found| found.clone().into())
                    }
                    _ => field(found, key),
                };
            }
            found
        }
        _ => return Err(format!("there is no function {name:?}")),
    })
}
