//! The purge of applied binlogs: the files of a region that every centre has applied, and that are old enough to go.
//!
//! Each centre has a keeper that does this, with notes of its own at its own centre. They need not agree: each purges only what
//! all centres had applied when it asked, a position never falls while its centre runs, and a file that the other keeper has
//! purged meanwhile is an error of this pass, which the next one does not meet again.

use std::collections::BTreeMap;

use model::Timestamp;
use store::Error;
use store::upkeep::{self, Binlog, BinlogFile};

/// Notes which files all centres have reached, and purges what lies before the newest that they reached `keep_ms` ago.
///
/// `applied` has the positions of every configured centre; `now` is the centre's clock, which was found to agree with the region's
/// afterwards.
///
/// # Errors
/// The region or this centre refused or did not answer.
pub(crate) async fn keep(
    centre: &mut upkeep::Centre,
    region: &mut upkeep::RegionalServer,
    name: &str,
    applied: &[BTreeMap<u32, u64>],
    keep_ms: i64,
    now: Timestamp,
) -> Result<(), Error> {
    let binlog = region.binlog().await?;
    let reached_by_all = reached_by_all(&binlog, applied);
    // Note before purge: the time to keep a file runs from its first note, whichever pass made it, so a crash or a restart does not make a
    // file seem old. A note that was renewed would never become old.
    let noted = centre.reached(name).await?;
    for file in reached_by_all.iter().filter(|file| !noted.contains_key(**file)) {
        centre.note_reached(name, file, now).await?;
    }
    let reached = centre.reached(name).await?;
    for gone in reached
        .keys()
        .filter(|file| binlog.files.iter().all(|kept| kept.name != **file))
    {
        centre.forget_file(name, gone).await?;
    }
    // Last, since it cannot be undone. Where the purge fails, the next pass finds the same file again.
    if let Some(file) = purge_to(&reached_by_all, &reached, now, keep_ms) {
        failpoint::crash("keeper.purging");
        region.purge_to(file).await?;
        failpoint::crash("keeper.purged");
        metrics::counter!("keeper_binlog_purges_total", "region" => name.to_owned()).increment(1);
        tracing::info!(region = name, file, "purged the binlog files before");
    }
    Ok(())
}

/// The files whose start every centre has passed now, oldest first, up to the first that some centre has not, or whose start
/// is not known.
fn reached_by_all<'a>(binlog: &'a Binlog, applied: &[BTreeMap<u32, u64>]) -> Vec<&'a str> {
    let position = |centre: &BTreeMap<u32, u64>| centre.get(&binlog.gtid_domain).copied().unwrap_or(0);
    let Some(least) = applied.iter().map(position).min() else {
        return Vec::new();
    };
    let is_reached = |file: &&BinlogFile| file.starts_after.is_some_and(|start| start <= least);
    let reached = binlog.files.iter().take_while(is_reached);
    reached.map(|file| file.name.as_str()).collect()
}

/// The newest file that was reached long enough ago, unless it is the oldest one anyway: what lies before it can go. It must be reached by
/// all now, too: a centre that was restored from a backup needs files again that it had reached before.
fn purge_to<'a>(
    reached_by_all: &[&'a str],
    reached: &BTreeMap<String, Timestamp>,
    now: Timestamp,
    keep_ms: i64,
) -> Option<&'a str> {
    let is_old = |file: &&&str| reached.get(**file).is_some_and(|&at| now.ms_since(at) >= keep_ms);
    let newest = reached_by_all.iter().rfind(is_old)?;
    (Some(newest) != reached_by_all.first()).then_some(*newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binlog() -> Binlog {
        let file = |(name, starts_after): (&str, u64)| BinlogFile {
            name: name.to_owned(),
            starts_after: Some(starts_after),
        };
        Binlog {
            gtid_domain: 2,
            files: [("f1", 0), ("f2", 100), ("f3", 200)].map(file).to_vec(),
        }
    }

    #[test]
    fn a_file_is_reached_when_the_last_centre_has_passed_its_start() {
        let centre = |sequence| BTreeMap::from([(1, 999), (2, sequence)]);
        assert_eq!(
            reached_by_all(&binlog(), &[centre(250), centre(199)]),
            ["f1", "f2"]
        );
        assert_eq!(reached_by_all(&binlog(), &[centre(250)]), ["f1", "f2", "f3"]);
        assert_eq!(reached_by_all(&binlog(), &[centre(250), BTreeMap::new()]), ["f1"]);
        assert!(reached_by_all(&binlog(), &[]).is_empty());
        let mut unknown = binlog();
        unknown.files[1].starts_after = None;
        assert_eq!(reached_by_all(&unknown, &[centre(250)]), ["f1"]);
    }

    #[test]
    fn what_is_purged_was_reached_by_all_long_ago() {
        let at = |s: i64| Timestamp::from_unix_ms(s * 1000);
        let reached = BTreeMap::from([
            ("f1".to_owned(), at(0)),
            ("f2".to_owned(), at(10)),
            ("f3".to_owned(), at(20)),
        ]);
        let purge = |files: &[&'static str], now_s| purge_to(files, &reached, at(now_s), 100_000);
        assert_eq!(purge(&["f1", "f2", "f3"], 109), None);
        assert_eq!(purge(&["f1", "f2", "f3"], 110), Some("f2"));
        assert_eq!(purge(&["f1", "f2", "f3"], 500), Some("f3"));
        // A centre that was restored from a backup is behind what had been reached before.
        assert_eq!(purge(&["f1", "f2"], 500), Some("f2"));
        assert_eq!(purge(&["f1"], 500), None);
    }
}
