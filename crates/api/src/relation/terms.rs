//! Terms: what x or y stands for, a name or the ratio of two.

use model::{EventId, EventName};

/// Slashes of one term: each is a ratio that may be meant, and two names to look up.
const SLASHES_MAX: usize = 16;

/// The parameter of this key is neither a name nor a ratio.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is neither a name nor a ratio of two: give it as shop.item.sold or as web.load/web.load.samples, \
     with blanks around the slash where names have slashes themselves"
)]
pub(crate) struct NoTerm(pub(crate) &'static str);

/// The terms that one text may mean, in the order in which they are tried: names may have slashes, too.
#[derive(Debug, PartialEq)]
pub(crate) struct Readings(Vec<Term<String>>);

/// A term: `T` is a name, its id or its sum in a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Term<T> {
    /// The counts of one name.
    Name(T),
    /// The counts of the first divided by those of the second.
    Ratio(T, T),
}

impl Readings {
    /// The readings of a text. `a/b` is the name `a/b` if it was ever counted, else the ratio of the first `a` and `b`, from the left,
    /// that both were; with blanks around its slash it is that ratio. `None` where no reading has names only, or there are too many
    /// slashes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = |text: &str| EventName::new(text).ok().map(|name| name.as_str().to_owned());
        let ratio = |above, below| Some(Term::Ratio(name(above)?, name(below)?));
        if let Some((above, below)) = text.split_once(" / ") {
            return Some(Self(vec![ratio(above, below)?]));
        }
        let slashes = text.match_indices('/');
        if slashes.clone().count() > SLASHES_MAX {
            return None;
        }
        let splits = slashes.filter_map(|(at, _)| ratio(&text[..at], &text[at + 1..]));
        let readings: Vec<_> = name(text).map(Term::Name).into_iter().chain(splits).collect();
        (!readings.is_empty()).then_some(Self(readings))
    }

    /// The readings whose names are all among those that `may_read` allows; `None` where there is none.
    pub(crate) fn within(&self, may_read: impl Fn(&str) -> bool) -> Option<Self> {
        let readings = self
            .0
            .iter()
            .filter(|term| term.each().all(|name| may_read(name)));
        let readings: Vec<_> = readings.cloned().collect();
        (!readings.is_empty()).then_some(Self(readings))
    }

    /// Every name that may be meant; one may come several times.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|term| term.each().map(String::as_str))
    }

    /// The first reading of which `known` has every name.
    pub(crate) fn resolve(&self, known: impl Fn(&str) -> Option<EventId>) -> Option<Term<EventId>> {
        self.0.iter().find_map(|term| match term {
            Term::Name(name) => known(name).map(Term::Name),
            Term::Ratio(above, below) => Some(Term::Ratio(known(above)?, known(below)?)),
        })
    }
}

impl<T> Term<T> {
    /// The name, or the two of a ratio in their order.
    fn each(&self) -> impl Iterator<Item = &T> {
        let (first, second) = match self {
            Self::Name(name) => (name, None),
            Self::Ratio(above, below) => (above, Some(below)),
        };
        std::iter::once(first).chain(second)
    }

    /// The same term of what `each` gives for its names.
    pub(crate) fn map<U>(self, each: impl Fn(T) -> U) -> Term<U> {
        match self {
            Self::Name(name) => Term::Name(each(name)),
            Self::Ratio(above, below) => Term::Ratio(each(above), each(below)),
        }
    }
}

impl<T: Copy> Term<T> {
    /// The name, or the two of a ratio in their order.
    pub(crate) fn parts(&self) -> Vec<T> {
        self.each().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, known: &[&str]) -> Option<Term<EventId>> {
        Readings::parse(text)?.resolve(|name| known.contains(&name).then(|| EventId::of(name)))
    }

    #[test]
    fn a_name_goes_before_a_ratio_and_a_ratio_from_the_left() {
        let id = EventId::of;
        let ratio = |above, below| Some(Term::Ratio(id(above), id(below)));
        assert_eq!(resolved("a/b", &["a/b", "a", "b"]), Some(Term::Name(id("a/b"))));
        assert_eq!(resolved("a/b", &["a", "b"]), ratio("a", "b"));
        assert_eq!(resolved("a / b", &["a/b", "a", "b"]), ratio("a", "b"));
        assert_eq!(resolved("a/b/c", &["a", "b/c", "a/b", "c"]), ratio("a", "b/c"));
        assert_eq!(resolved("a/b/c", &["a", "a/b", "c"]), ratio("a/b", "c"));
        assert_eq!(resolved("a/a", &["a"]), ratio("a", "a"));
        assert_eq!(resolved("a/b", &["a"]), None);
        let long = "x".repeat(255);
        assert_eq!(resolved(&format!("{long}/{long}"), &[&long]), ratio(&long, &long));
    }

    #[test]
    fn readings_are_cut_to_what_may_be_read() {
        let readings = Readings::parse("shop.a/shop.b/web.c").unwrap();
        let shop = |name: &str| name.starts_with("shop.");
        let cut = readings.within(shop).unwrap();
        assert_eq!(
            cut.names().collect::<Vec<_>>(),
            ["shop.a/shop.b/web.c", "shop.a", "shop.b/web.c"]
        );
        assert!(readings.within(|name| name.starts_with("web.")).is_none());
        let ratio = Readings::parse("shop.a / web.b").unwrap();
        assert!(ratio.within(shop).is_none());
    }

    #[test]
    fn what_has_no_names_is_no_term() {
        for text in ["", "a*", "a / ", "é/b", &"x".repeat(256), &"/a".repeat(17)] {
            assert_eq!(Readings::parse(text), None, "{text}");
        }
        assert!(Readings::parse("/").is_some(), "it is a name");
    }
}
