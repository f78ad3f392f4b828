//! The tree that the dots of names make.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use model::{Glob, GlobError, Matcher};

use crate::Index;
use crate::cursor::{Cursor, Names};

/// Ranges of names that one query may look at, of which a node has one in each segment with names of it: about a second of a core.
const VISITS_MAX: usize = 1_000_000;

/// A pattern over paths: one pattern for each part between dots, as in Graphite.
#[derive(Debug)]
pub struct Path(Vec<Part>);

/// The pattern of one part.
#[derive(Debug)]
enum Part {
    Literal(String),
    Glob(Glob),
}

/// A name, or all names below a path; where a name is a path, too, there is one of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The parts from the root on, with dots between them.
    pub path: String,
    /// The byte of the path at which its last part begins.
    pub text_at: usize,
    /// Whether it is a name; else a branch.
    pub is_leaf: bool,
    /// How many names it stands for: 1 for a leaf, else all below.
    pub names: usize,
    /// Popularity of these names, summed up.
    pub popularity: u64,
}

/// A walk refused because there are more nodes than an answer may have, or than a search may look at.
#[derive(Debug, PartialEq)]
pub struct TooMany;

impl Path {
    /// The path that a text means; an empty part matches only an empty one.
    ///
    /// # Errors
    /// A part that is no pattern over names.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let part = |text: &str| {
            if text.is_empty() {
                return Ok(Part::Literal(String::new()));
            }
            let glob = Glob::new(text)?;
            Ok(match glob.literal() {
                Some(literal) => Part::Literal(literal.to_owned()),
                None => Part::Glob(glob),
            })
        };
        Ok(Self(text.split('.').map(part).collect::<Result<_, _>>()?))
    }

    /// The text that every name at or below a match begins with.
    pub fn prefix(&self) -> String {
        let mut prefix = String::new();
        for (at, part) in self.0.iter().enumerate() {
            prefix.push_str(if at > 0 { "." } else { "" });
            match part {
                Part::Literal(text) => prefix.push_str(text),
                Part::Glob(glob) => {
                    prefix.push_str(&glob.prefix());
                    break;
                }
            }
        }
        prefix
    }
}

/// The nodes that `path` matches, of the names that begin with any of `beginnings`, in the order of names, a leaf before the branch of
/// the same path. No beginning may begin with another; an empty one is that of every name.
///
/// # Errors
/// `TooMany` for more than `limit` nodes, or where it has to look at more than a million.
pub fn find(index: &Index, path: &Path, beginnings: &[String], limit: usize) -> Result<Vec<Node>, TooMany> {
    let mut walk = Walk { index, visits: 0 };
    // A branch may have names of several beginnings. By the text that its names begin with, a branch is where these are.
    let mut nodes = BTreeMap::<String, Node>::new();
    for beginning in beginnings {
        let names = index.beginning(&index.names(), beginning);
        for node in found(&mut walk, names, path, limit)? {
            let place = node.path.clone() + if node.is_leaf { "" } else { "." };
            match nodes.entry(place) {
                Entry::Vacant(entry) => {
                    entry.insert(node);
                }
                Entry::Occupied(entry) => {
                    let whole = entry.into_mut();
                    whole.names += node.names;
                    whole.popularity = whole.popularity.saturating_add(node.popularity);
                }
            }
        }
        if nodes.len() > limit {
            return Err(TooMany);
        }
    }
    Ok(nodes.into_values().collect())
}

/// The nodes that `path` matches, of `names`.
fn found(walk: &mut Walk<'_>, names: Names, path: &Path, limit: usize) -> Result<Vec<Node>, TooMany> {
    let Some((last, parents)) = path.0.split_last() else {
        return Ok(Vec::new());
    };
    // Each branch with the length of its path including its dot.
    let mut branches = vec![(names, 0)];
    for part in parents {
        let (mut below, mut step) = (Vec::new(), Step::of(part));
        for (branch, depth) in branches {
            let children = walk.children(&branch, depth, &mut step)?.into_iter();
            let inner = children.filter(|child| !child.is_leaf);
            below.extend(inner.map(|child| (child.names, child.path.len() + 1)));
        }
        branches = below;
    }
    let (mut nodes, mut step) = (Vec::new(), Step::of(last));
    for (branch, depth) in branches {
        for child in walk.children(&branch, depth, &mut step)? {
            if nodes.len() == limit {
                return Err(TooMany);
            }
            nodes.push(Node {
                path: child.path.to_owned(),
                text_at: depth,
                is_leaf: child.is_leaf,
                names: child.names.len(),
                popularity: walk.index.popularity(&child.names),
            });
        }
    }
    Ok(nodes)
}

/// A part's pattern, prepared once to be looked for below many branches.
enum Step<'a> {
    Literal(&'a str),
    Glob { beginning: String, matcher: Matcher },
}

impl<'a> Step<'a> {
    fn of(part: &'a Part) -> Self {
        match part {
            Part::Literal(text) => Self::Literal(text),
            Part::Glob(glob) => Self::Glob {
                beginning: glob.prefix(),
                matcher: glob.matcher(),
            },
        }
    }
}

/// A walk through the tree, and how much it has looked at.
struct Walk<'a> {
    index: &'a Index,
    visits: usize,
}

/// A node by the names below it, and by its path.
struct Child<'a> {
    names: Names,
    path: &'a str,
    is_leaf: bool,
}

impl<'a> Walk<'a> {
    /// Counts one more node that is looked at, for each range that its names are in.
    fn visit(&mut self, names: &Names) -> Result<(), TooMany> {
        self.visits += names.parts().max(1);
        if self.visits > VISITS_MAX {
            Err(TooMany)
        } else {
            Ok(())
        }
    }

    /// The nodes right below a branch, whose path has `depth` bytes, that `step` matches.
    fn children(
        &mut self,
        branch: &Names,
        depth: usize,
        step: &mut Step<'_>,
    ) -> Result<Vec<Child<'a>>, TooMany> {
        self.visit(branch)?;
        let (beginning, matcher) = match step {
            Step::Glob { beginning, matcher } => (beginning, matcher),
            Step::Literal(text) => return Ok(self.child(branch, depth, text)),
        };
        let mut left = Cursor::new(self.index, &self.beginning(branch, depth, beginning));
        let mut children = Vec::new();
        while let Some(name) = left.first() {
            let child = match name[depth..].find('.') {
                None => Child {
                    names: left.take_first(),
                    path: name,
                    is_leaf: true,
                },
                Some(length) => Child {
                    names: left.take_beginning(&name[..=depth + length]),
                    path: &name[..depth + length],
                    is_leaf: false,
                },
            };
            self.visit(&child.names)?;
            if matcher.matches(&child.path[depth..]) {
                children.push(child);
            }
        }
        Ok(children)
    }

    /// The leaf and the branch whose last part is `text`, if there are such.
    fn child(&self, branch: &Names, depth: usize, text: &str) -> Vec<Child<'a>> {
        let end = depth + text.len();
        let within = self.beginning(branch, depth, text);
        let mut children = Vec::new();
        // What is the whole name goes first among all that begin with it.
        if let Some(path) = self.index.first(&within).filter(|name| name.len() == end) {
            children.push(Child {
                names: Cursor::new(self.index, &within).take_first(),
                path,
                is_leaf: true,
            });
        }
        let below = self.beginning(&within, depth, &format!("{text}."));
        if let Some(name) = self.index.first(&below) {
            children.push(Child {
                names: below,
                path: &name[..end],
                is_leaf: false,
            });
        }
        children
    }

    /// The names of a branch, whose path has `depth` bytes, that go on with `text` after it.
    fn beginning(&self, branch: &Names, depth: usize, text: &str) -> Names {
        match self.index.first(branch) {
            None => Names::default(),
            Some(name) => self.index.beginning(branch, &format!("{}{text}", &name[..depth])),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::index::tests::{index, index_as_of};

    /// The beginning of every name.
    fn all() -> Vec<String> {
        vec![String::new()]
    }

    #[test]
    fn only_names_of_the_beginnings_are_walked_through() {
        let nodes = |query: &str, beginnings: &[&str]| -> Vec<(String, bool, usize, u64)> {
            let beginnings: Vec<String> = beginnings.iter().map(|&text| text.to_owned()).collect();
            let found = find(&index(&NAMES), &Path::parse(query).unwrap(), &beginnings, 100).unwrap();
            let shown = |node: Node| (node.path, node.is_leaf, node.names, node.popularity);
            found.into_iter().map(shown).collect()
        };
        let shop = ("shop".to_owned(), false, 1, 3);
        assert_eq!(nodes("*", &["shop.item."]), std::slice::from_ref(&shop));
        assert_eq!(
            nodes("shop.*", &["shop.item."]),
            [("shop.item".to_owned(), false, 1, 3)]
        );
        assert_eq!(nodes("web", &["shop.item."]), []);
        // Of two beginnings, one of which ends in a part.
        let web = ("web".to_owned(), false, 3, 14);
        assert_eq!(
            nodes("*", &["shop.item.", "web.load.s"]),
            [shop, ("web".to_owned(), false, 2, 9)]
        );
        assert_eq!(nodes("web", &["web.load.s", "web.load"]).len(), 1);
        assert_eq!(nodes("{web,x}", &["web.load.samples", "web.load"]).len(), 1);
        assert_eq!(nodes("web", &["web.load.samples.", "web.load-"])[0].2, 2);
        assert_eq!(nodes("w*", &[]), []);
        assert_eq!(web.2, nodes("web", &["web.load.samples", "web.load-x"])[0].2);
    }

    const NAMES: [(&str, u64); 7] = [
        ("web.load", 5),
        ("web.load-x.a", 1),
        ("web.load.samples", 7),
        ("web.load.samples.a", 2),
        ("shop.item.sold", 3),
        ("shop.sold", 4),
        ("a..b", 1),
    ];

    fn found(query: &str) -> Vec<(String, bool, usize, u64)> {
        let nodes = find(&index(&NAMES), &Path::parse(query).unwrap(), &all(), 100).unwrap();
        let shown = |node: Node| (node.path, node.is_leaf, node.names, node.popularity);
        nodes.into_iter().map(shown).collect()
    }

    #[test]
    fn a_name_can_be_a_leaf_and_a_branch() {
        let leaf = |path: &str, popularity| (path.to_owned(), true, 1, popularity);
        let branch = |path: &str, names, popularity| (path.to_owned(), false, names, popularity);
        assert_eq!(
            found("*"),
            [branch("a", 1, 1), branch("shop", 2, 7), branch("web", 4, 15)]
        );
        let loads = [
            leaf("web.load", 5),
            branch("web.load-x", 1, 1),
            branch("web.load", 2, 9),
        ];
        assert_eq!(found("web.*"), loads);
        assert_eq!(found("w?b.load"), [leaf("web.load", 5), branch("web.load", 2, 9)]);
        assert_eq!(found("*.sold"), [leaf("shop.sold", 4)]);
        assert_eq!(found("{shop,web}.{sold,load}*").len(), 4);
        assert_eq!(
            found("shop.**"),
            [branch("shop.item", 1, 3), leaf("shop.sold", 4)]
        );
        assert_eq!(found("a."), [branch("a.", 1, 1)]);
        assert_eq!(found("a..b"), [leaf("a..b", 1)]);
        assert_eq!(found("shop."), []);
        assert_eq!(found("nothing.*"), []);
    }

    #[test]
    fn too_many_nodes_are_refused() {
        assert_eq!(
            find(&index(&NAMES), &Path::parse("*").unwrap(), &all(), 2),
            Err(TooMany)
        );
        assert!(find(&index(&NAMES), &Path::parse("*").unwrap(), &all(), 3).is_ok());
        assert!(Path::parse("a.{b.c}").is_err());
    }

    proptest! {
        #[test]
        fn finds_what_the_names_parts_say(
            names in prop::collection::hash_map("[ab.-]{1,6}", 1u64..9, 1..30),
            query in "([ab*?-]|\\.){1,6}",
            as_of in prop::sample::select(&[1usize, 3_000_000]),
        ) {
            let rows: Vec<_> = names.iter().map(|(name, &popularity)| (name.as_str(), popularity)).collect();
            let parts: Vec<&str> = query.split('.').collect();
            let mut expected = BTreeSet::new();
            for (name, _) in &rows {
                let given: Vec<&str> = name.split('.').collect();
                let fits = given.len() >= parts.len() && parts.iter().zip(&given).all(|(pattern, part)| {
                    pattern == part || Glob::new(pattern).is_ok_and(|glob| glob.matcher().matches(part))
                });
                if fits {
                    let path = given[..parts.len()].join(".");
                    let below = format!("{path}.");
                    let is_leaf = given.len() == parts.len();
                    let of_it: Vec<_> = rows
                        .iter()
                        .filter(|(other, _)| if is_leaf { *other == path } else { other.starts_with(&below) })
                        .collect();
                    expected.insert((path, is_leaf, of_it.len(), of_it.iter().map(|(_, times)| times).sum::<u64>()));
                }
            }
            let nodes = find(&index_as_of(as_of, &rows), &Path::parse(&query).unwrap(), &all(), 100).unwrap();
            let prefix = Path::parse(&query).unwrap().prefix();
            for node in &nodes {
                prop_assert!(node.path.starts_with(&prefix) || node.path == prefix.trim_end_matches('.'), "{:?} {}", node, prefix);
            }
            let count = nodes.len();
            let found: BTreeSet<_> =
                nodes.into_iter().map(|node| (node.path, node.is_leaf, node.names, node.popularity)).collect();
            prop_assert_eq!(found.len(), count);
            prop_assert_eq!(found, expected, "{}", query);
        }
    }
}
