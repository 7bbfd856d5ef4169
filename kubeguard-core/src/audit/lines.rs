//! On which line of a document a field is written.

use std::fmt;
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::facts::Written;
use super::report::Source;

/// The text of a document; its lines are found once somebody asks.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    /// The line on which it begins, counted from 1.
    line: u64,
    tree: OnceLock<Option<Node>>,
}

impl Document {
    pub(crate) fn new(text: &str, line: usize) -> Self {
        Self { text: text.to_owned(), line: u64::try_from(line).unwrap_or(1), tree: OnceLock::new() }
    }

    /// Returns the line of the deepest node of a path that is there.
    fn line_of(&self, pointer: &str) -> Option<u64> {
        let tree = self.tree.get_or_init(|| serde_saphyr::from_str::<Node>(&self.text).ok());
        let mut node = tree.as_ref()?;
        let mut line = None;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match node {
                Node::Map(entries) => {
                    entries.iter().find(|(key, ..)| *key == token).map(|(_, line, node)| (*line, node))
                }
                Node::List(items) => {
                    token.parse::<usize>().ok().and_then(|at| items.get(at)).map(|(line, node)| (*line, node))
                }
                Node::Leaf => None,
            };
            let Some((at, next)) = next else { break };
            (line, node) = (Some(at), next);
        }
        line.map(|line| self.line + line.saturating_sub(1))
    }
}

/// A document as lines: keys and items with the line on which they stand.
#[derive(Debug)]
enum Node {
    Map(Vec<(String, u64, Node)>),
    List(Vec<(u64, Node)>),
    Leaf,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any node")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            entries.push((key.value, line, map.next_value()?));
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Node>>()? {
            items.push((item.referenced.line(), item.value));
        }
        Ok(Node::List(items))
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::Leaf)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
}

/// Returns where a field is written: the line of its deepest node that is there, or the object's beginning.
pub(super) fn of(written: &Written, path: &str) -> Source {
    let document = written.document.as_ref();
    let line = document.and_then(|document| document.line_of(&format!("{}{path}", written.at)));
    let line = line.filter(|_| !path.is_empty() || !written.at.is_empty());
    Source { line: line.unwrap_or(written.source.line), ..written.source.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_that_of_the_deepest_node_that_is_there() {
        let text = "kind: Pod\nspec:\n  containers:\n  - name: a\n  - name: b\n    readinessProbe:\n      httpGet: {port: http}\n    n: null\n";
        let document = Document::new(text, 11);
        for (path, line) in [
            ("/kind", Some(11)),
            ("/spec/containers/1/readinessProbe/httpGet/port", Some(17)),
            ("/spec/containers/1/readinessProbe/timeoutSeconds", Some(16)),
            ("/spec/containers/1/n", Some(18)),
            ("/spec/containers/7", Some(13)),
            ("/metadata", None),
        ] {
            assert_eq!(document.line_of(path), line, "{path}");
        }
        let json = Document::new("{\"a\":\n {\"b\": [1,\n 2]}}", 1);
        assert_eq!(json.line_of("/a/b/1"), Some(3));
    }
}
