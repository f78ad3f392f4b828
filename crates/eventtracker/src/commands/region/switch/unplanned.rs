//! An unplanned switch: the old server is gone. How much that can cost, and a ledger that begins anew.

use std::time::Duration;

use store::{Source, SourceState};

use super::new_server::{self, OldServer};
use crate::commands::region::Operator;
use crate::commands::region::list::gtid_of;
use crate::commands::region::replication::wait_for_received;
use crate::commands::series::grouped;

/// The value of `worker.ledger_window_s` where nobody has set it.
const DEFAULT_WINDOW: Duration = Duration::from_secs(86_400);

/// Longest wait for the centre to apply what it received before the old server went.
const RECEIVED_LIMIT: Duration = Duration::from_secs(300);

/// The address, in the new server's fence, of an old server that is gone with its ledger.
pub(super) const NOWHERE: &str = "nowhere";

/// Says how much may be lost and how much may count twice, and changes nothing. It waits first until what was received is applied, so
/// that this is not called lost.
///
/// # Errors
/// A centre that refuses or does not answer.
pub(super) async fn tell_bounds(
    operator: &mut Operator,
    state: &SourceState,
    ledger_window_s: Option<u32>,
) -> anyhow::Result<()> {
    let region = &state.source.region;
    let unapplied = wait_for_received(&mut operator.centre, region, RECEIVED_LIMIT).await?;
    let position = operator.centre.upkeep().gtid_slave_pos().await?;
    let gtid = gtid_of(&position, state.server_id).unwrap_or("nothing".to_owned());
    let totals = operator.centre.totals_of(region).await?;
    println!(
        "  lost: what it committed after {gtid}, the last that this centre has applied; that is what it counted after flush {} and \
         its total of {}",
        grouped(totals.flushes),
        grouped(totals.total)
    );
    if unapplied > 0 {
        println!(
            "        of that, {unapplied} transactions were received and are not applied: START SLAVE '{region}' SQL_THREAD at the centre saves them"
        );
    }
    let now = operator.centre.upkeep().clock().await?;
    match operator.centre.queue_of(region).await? {
        Some(queue) => {
            let age_s = now.ms_since(queue.seen).max(0) / 1000;
            println!(
                "        its last word is {age_s} s old: at most what it counted since then, if it was alive\n  \
                 doubled: of its queue, what was counted and not deleted before it went: {} jobs by that last word, {} of them held by workers",
                queue.ready + queue.reserved + queue.delayed + queue.buried,
                queue.reserved
            );
        }
        None => println!(
            "  doubled: of its queue, what was counted and not deleted; it has never said how much is in it"
        ),
    }
    let window = ledger_window_s.map_or(DEFAULT_WINDOW, |s| Duration::from_secs(s.into()));
    let source = if ledger_window_s.is_some() {
        "by the region's file"
    } else {
        "unless its worker.ledger_window_s says otherwise"
    };
    let window = match window.as_secs() {
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s => format!("{s} s"),
    };
    println!(
        "           and every request that a client repeats under its key, up to {window} after it was counted ({source})"
    );
    for (name, _) in operator.beside()? {
        println!(
            "  begin with the server that has the highest flush: it is where the new ledger goes on; compare with {name}. One that \
             has less lacks the difference for good: a centre can begin anew with a copy of another one with the same shards"
        );
    }
    Ok(())
}

/// Lets the new server's totals go on where the centre's are, so that the audit still adds up, with an empty ledger.
///
/// # Errors
/// A server that cannot take the region over; a server that refuses or does not answer.
pub(super) async fn run(operator: &mut Operator, old: &Source, new: &Source) -> anyhow::Result<()> {
    let here = operator.centre.totals_of(&new.region).await?;
    let old = OldServer {
        address: &old.address(),
        totals: here,
        answers: false,
    };
    if new_server::inspect(operator, new, old).await? {
        return Ok(());
    }
    // Stopped before the totals are read: the old server may come back, and what still arrives of it would make the centre's total
    // another one than the new server begins with.
    operator.centre.stop_replication(&new.region).await?;
    let here = operator.centre.totals_of(&new.region).await?;
    let mut database = operator.database(new)?;
    database.set_own_totals(here).await?;
    database.set_moved_to(None).await?;
    // Last, as in a planned switch: this mark means that the new server is ready.
    database.set_moved_from(Some((&new.region, NOWHERE))).await?;
    println!(
        "{} begins with an empty ledger, after flush {} and a total of {}",
        new.address(),
        grouped(here.flushes),
        grouped(here.total)
    );
    Ok(())
}
