//! Views: which names somebody may count and read.

use model::{EventName, Glob};

/// Names by their beginnings, or all names. Clones are cheap enough for each request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View(Option<Vec<String>>);

impl View {
    /// Every name.
    #[must_use]
    pub fn all() -> Self {
        Self(None)
    }

    /// The names that begin with any of `prefixes`.
    #[must_use]
    pub fn of(mut prefixes: Vec<String>) -> Self {
        prefixes.sort_unstable();
        // One that begins with another adds no name; sorted, it stands behind that.
        prefixes.dedup_by(|longer, shorter| longer.starts_with(&*shorter));
        Self(Some(prefixes))
    }

    /// Whether this is every name.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// The beginnings, of which none begins with another; `None` for all names.
    #[must_use]
    pub fn prefixes(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// Whether a text that may be a name is in the view.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.0 {
            None => true,
            Some(prefixes) => prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())),
        }
    }

    /// Whether a name is in the view.
    #[must_use]
    pub fn has_name(&self, name: &EventName<'_>) -> bool {
        self.has(name.as_str())
    }

    /// What of `pattern` is in the view: a pattern for each of its beginnings, so that each is looked for by that.
    #[must_use]
    pub fn within(&self, pattern: Glob) -> Vec<Glob> {
        let Some(prefixes) = &self.0 else {
            return vec![pattern];
        };
        let cut = prefixes
            .iter()
            .map(|prefix| pattern.beginning_with(std::slice::from_ref(prefix)));
        cut.filter(|cut| !cut.matches_nothing()).collect()
    }

    /// What of `pattern` is in the view, as one pattern.
    #[must_use]
    pub fn all_within(&self, pattern: Glob) -> Glob {
        match &self.0 {
            None => pattern,
            Some(prefixes) => pattern.beginning_with(prefixes),
        }
    }

    /// The beginnings of the names that begin with `beginning` and are in the view: such names begin with one of these.
    #[must_use]
    pub fn beginning(&self, beginning: &str) -> Vec<String> {
        let Some(prefixes) = &self.0 else {
            return vec![beginning.to_owned()];
        };
        if self.has(beginning) {
            return vec![beginning.to_owned()];
        }
        let longer = prefixes.iter().filter(|prefix| prefix.starts_with(beginning));
        longer.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prefixes: &[&str]) -> View {
        View::of(prefixes.iter().map(|&prefix| prefix.to_owned()).collect())
    }

    #[test]
    fn a_view_is_what_its_beginnings_are() {
        let view = of(&["web.status.", "shop.", "shop.item", "shop."]);
        assert_eq!(view.prefixes().unwrap(), ["shop.", "web.status."]);
        assert!(
            view.has("shop.a")
                && view.has("web.status.200")
                && !view.has("web.requests")
                && !view.has("shop")
        );
        assert!(View::all().has("web.requests") && View::all().is_all() && !view.is_all());
    }

    #[test]
    fn beginnings_are_cut_to_the_view() {
        let view = of(&["shop.item.", "shop.user."]);
        assert_eq!(view.beginning("shop.item.so"), ["shop.item.so"]);
        assert_eq!(view.beginning("sho"), ["shop.item.", "shop.user."]);
        assert_eq!(view.beginning(""), ["shop.item.", "shop.user."]);
        assert!(view.beginning("web").is_empty());
        assert_eq!(View::all().beginning("web"), ["web"]);
    }
}
