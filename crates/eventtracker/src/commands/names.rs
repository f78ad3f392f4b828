//! `eventtracker names top`: who makes the names.

use std::process::ExitCode;

use anyhow::Context;
use api::status::Status as Document;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;

use super::send::{Api, ApiAddress};
use super::series::grouped;

/// Parts of a prefix that are told apart at most: deeper, a listing is longer than what it is to explain.
const DEPTH_MAX: u8 = 5;

#[derive(Debug, Subcommand)]
pub(crate) enum Names {
    Top(Top),
}

/// Show who makes most names: the tokens in the last hour, or the beginnings of all names
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// What is told apart
    #[arg(long)]
    by: By,
    /// With --by prefix: parts between dots that a beginning has
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(DEPTH_MAX)))]
    depth: u8,
    /// Lines to show
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    api: ApiAddress,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Each token: the names that it was the first to count on their day, in the last hour
    Token,
    /// Each beginning: all names below it
    Prefix,
}

/// A node of the tree of names, as the api's `/metrics/find` has it.
#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    leaf: u8,
    names: u64,
    popularity: u64,
}

impl Names {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Top(top) = self;
        let table = match top.by {
            By::Token => top.by_token().await?,
            By::Prefix => top.by_prefix().await?,
        };
        println!("{}", table.trim_fmt());
        Ok(ExitCode::SUCCESS)
    }
}

impl Top {
    async fn by_token(&self) -> anyhow::Result<Table> {
        let response = Api::new(&self.api)?.get("/v1/status", &[]).await?;
        let status: Document = response
            .json()
            .await
            .context("the API's answer is not understood")?;
        let mut clients = status.clients;
        clients.sort_by(|a, b| b.names.cmp(&a.names).then_with(|| a.name.cmp(&b.name)));
        let rows = clients.into_iter().map(|client| {
            let numbers = [client.names, client.events, client.overflowed];
            (client.name, numbers)
        });
        Ok(table(
            ["token", "new names", "events", "overflowed"],
            rows.take(self.limit),
        ))
    }

    async fn by_prefix(&self) -> anyhow::Result<Table> {
        let api = Api::new(&self.api)?;
        let mut nodes = children(&api, "*").await?;
        for _ in 1..self.depth {
            // Only below the largest: what is below others is smaller than they are.
            let mut deeper = Vec::new();
            for node in largest(nodes, self.limit) {
                match node.leaf {
                    1 => deeper.push(node),
                    _ => deeper.extend(children(&api, &format!("{}.*", node.id)).await?),
                }
            }
            nodes = deeper;
        }
        let rows = largest(nodes, self.limit).into_iter().map(|node| {
            let dots = if node.leaf == 1 { "" } else { "." };
            (format!("{}{dots}", node.id), [node.names, node.popularity])
        });
        Ok(table(["names that begin with", "names", "events"], rows))
    }
}

/// The nodes that a path with a wildcard at its end finds.
async fn children(api: &Api, path: &str) -> anyhow::Result<Vec<Node>> {
    let response = api.get("/metrics/find", &[("query", path)]).await?;
    response
        .json()
        .await
        .context("the API's answer is not understood")
}

/// The `limit` nodes with most names, those with equally many by their path.
fn largest(mut nodes: Vec<Node>, limit: usize) -> Vec<Node> {
    nodes.sort_by(|a, b| b.names.cmp(&a.names).then_with(|| a.id.cmp(&b.id)));
    nodes.truncate(limit);
    nodes
}

fn table<const N: usize, const M: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = (String, [u64; M])>,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    for (name, numbers) in rows {
        table.add_row([name].into_iter().chain(numbers.map(grouped)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
