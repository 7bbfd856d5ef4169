//! CEL expressions over an object: parsed and checked once, before anything is contacted.
//!
//! The language is CEL's, parsed by the `cel` crate; it is evaluated here because rules need three things that its
//! evaluator does not give: a field that is not there is null, comparing null is false, and every evaluation has a
//! bound.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cel::Program;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::evaluate::{self, Datum, Scope};

/// An expression that has been parsed and checked.
#[derive(Clone)]
pub(super) struct Expression {
    source: String,
    program: Arc<Program>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Where an expression is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub(super) struct Mistake {
    /// Column, from 1.
    pub column: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// What an expression gives, as far as it is known without an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Whatever the object has there.
    Any,
    Bool,
    Number,
    Text,
    List,
    Map,
    Duration,
    Time,
    Null,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Duration => "a duration",
            Self::Time => "a time",
            Self::Null => "null",
        }
    }
}

/// The names an expression may use.
const VARIABLES: [&str; 6] = ["self", "spec", "status", "conditions", "generation", "age"];

/// Functions: name, whether it is called on its first argument, arguments, result.
const FUNCTIONS: &[(&str, bool, usize, Kind)] = &[
    ("size", false, 1, Kind::Number),
    ("size", true, 1, Kind::Number),
    ("contains", true, 2, Kind::Bool),
    ("startsWith", true, 2, Kind::Bool),
    ("endsWith", true, 2, Kind::Bool),
    ("matches", true, 2, Kind::Bool),
    ("matches", false, 2, Kind::Bool),
    ("lowerAscii", true, 1, Kind::Text),
    ("upperAscii", true, 1, Kind::Text),
    ("split", true, 2, Kind::List),
    ("int", false, 1, Kind::Number),
    ("double", false, 1, Kind::Number),
    ("string", false, 1, Kind::Text),
    ("duration", false, 1, Kind::Duration),
    ("timestamp", false, 1, Kind::Time),
    ("dyn", false, 1, Kind::Any),
    ("sum", false, 1, Kind::Number),
    ("word", false, 1, Kind::Text),
    ("at", false, 2, Kind::Any),
];

impl Expression {
    /// Parses and checks `source`.
    ///
    /// # Errors
    /// Where it is no CEL, uses a name that is not there, or compares what can never be equal.
    pub(super) fn parse(source: &str) -> Result<Self, Mistake> {
        let program = Program::compile(source).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            let (column, problem) = first.map_or((1, "no expression".to_owned()), |error| (error.pos.1, error.msg));
            Mistake { column: usize::try_from(column).unwrap_or(1).max(1), problem }
        })?;
        let this = Self { source: source.to_owned(), program: Arc::new(program) };
        this.kind(this.program.expression(), &BTreeSet::new())?;
        Ok(this)
    }

    /// Parses `source`, which must be true or false.
    ///
    /// # Errors
    /// Those of [`Expression::parse`], and where it can be neither.
    pub(super) fn condition(source: &str) -> Result<Self, Mistake> {
        let this = Self::parse(source)?;
        match this.kind(this.program.expression(), &BTreeSet::new())? {
            Kind::Bool | Kind::Any => Ok(this),
            kind => Err(Mistake { column: 1, problem: format!("it is {}, not true or false", kind.name()) }),
        }
    }

    /// Returns its text.
    #[must_use]
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// In words, where types do not fit, or it takes too many steps.
    pub(super) fn evaluate<'a>(&self, scope: &Scope<'a>) -> Result<Datum<'a>, String> {
        evaluate::evaluate(self.program.expression(), scope)
    }

    fn mistake(&self, at: &IdedExpr, problem: impl Into<String>) -> Mistake {
        let offset = self.program.source_info().offset_for(at.id).map_or(0, |(start, _)| start);
        let before = self.source.get(..usize::try_from(offset).unwrap_or(0)).unwrap_or_default();
        Mistake { column: before.chars().count() + 1, problem: problem.into() }
    }

    fn kind(&self, at: &IdedExpr, bound: &BTreeSet<&str>) -> Result<Kind, Mistake> {
        Ok(match &at.expr {
            Expr::Unspecified => return Err(self.mistake(at, "no expression")),
            Expr::Struct(_) => return Err(self.mistake(at, "messages are not supported")),
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Kind::Bool,
                LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kind::Number,
                LiteralValue::String(_) => Kind::Text,
                LiteralValue::Null => Kind::Null,
                LiteralValue::Bytes(_) => return Err(self.mistake(at, "bytes are not supported")),
            },
            Expr::Ident(name) => match name.as_str() {
                "generation" => Kind::Number,
                "age" => Kind::Duration,
                name if VARIABLES.contains(&name) || bound.contains(name) => Kind::Any,
                name => {
                    let known = VARIABLES.join(", ");
                    return Err(self.mistake(at, format!("there is no {name:?}; there are {known}")));
                }
            },
            Expr::List(list) => {
                for element in &list.elements {
                    self.kind(element, bound)?;
                }
                Kind::List
            }
            Expr::Map(_) => Kind::Map,
            Expr::Select(select) => {
                let operand = self.kind(&select.operand, bound)?;
                if !matches!(operand, Kind::Any | Kind::Map) {
                    return Err(self.mistake(at, format!("{} has no field {:?}", operand.name(), select.field)));
                }
                if select.test { Kind::Bool } else { Kind::Any }
            }
            Expr::Comprehension(comprehension) => {
                self.kind(&comprehension.iter_range, bound)?;
                let mut inner = bound.clone();
                inner.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
                inner.extend(comprehension.iter_var2.as_deref());
                self.kind(&comprehension.accu_init, bound)?;
                self.kind(&comprehension.loop_step, &inner)?;
                self.kind(&comprehension.result, &inner)?;
                Kind::Any
            }
            Expr::Call(call) => self.call(at, call, bound)?,
        })
    }

    fn call(&self, at: &IdedExpr, call: &CallExpr, bound: &BTreeSet<&str>) -> Result<Kind, Mistake> {
        let kinds = call.target.iter().map(AsRef::as_ref).chain(&call.args).map(|argument| self.kind(argument, bound));
        let kinds: Vec<Kind> = kinds.collect::<Result<_, _>>()?;
        let same =
            |a: Kind, b: Kind| a == b || matches!(a, Kind::Any | Kind::Null) || matches!(b, Kind::Any | Kind::Null);
        let fits = |kind: Kind, wanted: Kind| kind == wanted || kind == Kind::Any;
        let name = call.func_name.as_str();
        let operands = || kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ");
        Ok(match (name, kinds.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b])
                if fits(*a, Kind::Bool) && fits(*b, Kind::Bool) =>
            {
                Kind::Bool
            }
            (operators::LOGICAL_NOT, [a]) if fits(*a, Kind::Bool) => Kind::Bool,
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) if same(*a, *b) => Kind::Bool,
            (operators::GREATER | operators::GREATER_EQUALS | operators::LESS | operators::LESS_EQUALS, [a, b])
                if same(*a, *b) && !matches!(a, Kind::Bool | Kind::List | Kind::Map) =>
            {
                Kind::Bool
            }
            (operators::NOT_STRICTLY_FALSE, _) | (operators::IN, [_, Kind::List | Kind::Map | Kind::Any]) => Kind::Bool,
            (operators::CONDITIONAL, [test, a, b]) if fits(*test, Kind::Bool) => {
                if a == b {
                    *a
                } else {
                    Kind::Any
                }
            }
            (operators::ADD, [a, b]) if same(*a, *b) => {
                if *a == Kind::Any {
                    *b
                } else {
                    *a
                }
            }
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [a, b])
                if fits(*a, Kind::Number) && fits(*b, Kind::Number) =>
            {
                Kind::Number
            }
            (operators::NEGATE, [a]) if fits(*a, Kind::Number) => Kind::Number,
            (operators::INDEX, [Kind::Any | Kind::List | Kind::Map, _]) => Kind::Any,
            (name, _) if name.contains('_') || name == operators::IN => {
                let sign = name.trim_matches(['_', '@']);
                return Err(self.mistake(at, format!("{sign} does not go with {}", operands())));
            }
            (name, kinds) => {
                let known = FUNCTIONS.iter().filter(|(known, ..)| *known == name);
                let mut known = known.peekable();
                if known.peek().is_none() {
                    return Err(self.mistake(at, format!("there is no function {name:?}")));
                }
                let method = call.target.is_some();
                let found = known.find(|(_, of_target, count, _)| *of_target == method && *count == kinds.len());
                match found {
                    Some((.., result)) => *result,
                    None => return Err(self.mistake(at, format!("{name} is not called like this"))),
                }
            }
        })
    }
}
