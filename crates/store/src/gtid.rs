//! GTID positions: places in the binlogs of all domains (MariaDB's Global Transaction IDs, `domain-server-sequence`).

use std::collections::BTreeMap;

/// The sequence number of each domain in a GTID position such as `1-1-100,2-2-50`; `None` for a text that is none. A part of it is never
/// returned: a domain that is missing would mean that nothing was written or applied in it.
pub(crate) fn positions(text: &str) -> Option<BTreeMap<u32, u64>> {
    let gtids = text.split(',').filter(|gtid| !gtid.trim().is_empty());
    gtids
        .map(|gtid| {
            let mut parts = gtid.trim().split('-');
            let domain = parts.next()?.parse().ok()?;
            let sequence = parts.nth(1)?.parse().ok()?;
            Some((domain, sequence))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_a_number_for_each_domain() {
        let both = BTreeMap::from([(1, 100), (2, 50)]);
        assert_eq!(positions("1-1-100, 2-7-50\n"), Some(both));
        assert_eq!(positions(""), Some(BTreeMap::new()));
        for text in ["1-1", "1-1-100,x", "1-1-100;2-2-50", "NULL"] {
            assert_eq!(positions(text), None, "{text}");
        }
    }
}
