//! `eventtracker shard list`.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use store::Members;
use store::central::ShardSize;

use super::plan::Sizes;
use crate::commands::series::grouped;

/// Prints each server's shards, with their sizes, and what is not as the file says.
pub(super) async fn run(members: &Members) -> anyhow::Result<ExitCode> {
    let sizes = Sizes::read(members).await?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["server", "shards", "minutes", "packed days", "bytes"]);
    let mut faults = Vec::new();
    for server in &sizes.servers {
        let sum = |of: fn(&ShardSize) -> u64| grouped(server.sizes.iter().map(of).sum::<u64>());
        table.add_row([
            server.name.clone(),
            server.held.whole.to_string(),
            sum(|size| size.rows),
            sum(|size| size.packed_days),
            sum(|size| size.bytes + size.packed_bytes),
        ]);
        let coming = server.held.applied.without(server.held.whole);
        if !coming.is_empty() {
            faults.push(format!(
                "{0} has only a part of shards {coming}: a move is under way, or was interrupted; 'eventtracker shard move {coming} --to {0}' \
                 completes it",
                server.name
            ));
        }
        if server.configured != server.held.whole {
            faults.push(format!(
                "{} has shards {}, and the file says {}: correct the file, or complete the move",
                server.name, server.held.whole, server.configured
            ));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{}", table.trim_fmt());
    for fault in &faults {
        println!("! {fault}");
    }
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
