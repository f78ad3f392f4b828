//! `eventtracker playground`: everything on this machine, until Ctrl-C.

use std::path::PathBuf;

use clap::Args;
use playground::{Description, Options};
use tokio_util::sync::CancellationToken;

use crate::interrupts::Interrupts;

#[derive(Debug, Args)]
pub(crate) struct Playground {
    /// Names of the regions
    #[arg(long, value_delimiter = ',', default_value = "eu,us", value_name = "NAME,…")]
    regions: Vec<String>,
    /// The api's port; all others follow from it
    #[arg(long, default_value_t = 7070)]
    port: u16,
    /// Where everything is kept for the next start
    #[arg(long, default_value = ".playground", value_name = "DIR")]
    data_dir: PathBuf,
    /// Collectors in each region
    #[arg(long, default_value_t = 1)]
    collectors: usize,
    /// Workers in each region
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Servers of which the centre consists, each with as many of the shards as the others
    #[arg(long, default_value_t = 1, value_name = "N")]
    central_servers: usize,
    /// Start a second centre as well, fed by the same regions
    #[arg(long)]
    standby: bool,
    /// Let only those in who have a token, and make one for each scope
    #[arg(long)]
    tokens: bool,
    /// Encrypt what is said, with certificates of an authority of its own
    #[arg(long)]
    tls: bool,
    /// Send the traffic of a shop that does not exist
    #[arg(long)]
    demo: bool,
}

impl Playground {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let data_dir = self.data_dir.clone();
        let options = Options {
            program: Some(std::env::current_exe()?),
            data_dir: self.data_dir,
            port: self.port,
            regions: self.regions,
            collectors: self.collectors,
            workers: self.workers,
            central_servers: self.central_servers,
            standby: self.standby,
            tokens: self.tokens,
            tls: self.tls,
            demo: self.demo,
            is_for_people: true,
            ..Options::default()
        };
        let (stop, kill) = stop_then_kill()?;
        playground::run(options, stop, kill, |description| {
            print!("{}", welcome(description, &data_dir))
        })
        .await
    }
}

/// Two tokens: the first Ctrl-C or SIGTERM cancels the first, to stop everything in order, and the second cancels the second, to end
/// everything at once.
fn stop_then_kill() -> anyhow::Result<(CancellationToken, CancellationToken)> {
    let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
    let mut interrupts = Interrupts::new()?;
    let tokens = [stop.clone(), kill.clone()];
    tokio::spawn(async move {
        for (token, message) in tokens
            .iter()
            .zip(["stopping; once more to stop at once", "stopping at once"])
        {
            interrupts.next().await;
            eprintln!("\n{message}");
            token.cancel();
        }
    });
    Ok((stop, kill))
}

/// The text that tells a newcomer what can be done next.
fn welcome(description: &Description, data_dir: &std::path::Path) -> String {
    let Description { api, regions, .. } = description;
    let mut text = format!("\nEventTracker is ready.\n\n  api        {api}\n");
    for (name, region) in regions {
        text += &format!("  {name:<10} {}\n", region.collector);
    }
    let ca = match &description.ca {
        Some(ca) => format!(" --cacert {}", ca.display()),
        None => String::new(),
    };
    let [write, read] = ["write", "read"].map(|scope| match description.tokens {
        Some(_) => format!("{ca} -H \"Authorization: Bearer ${scope}\""),
        None => ca.clone(),
    });
    if let Some(tokens) = &description.tokens {
        text += &format!(
            "\nWho asks needs a token:\n  write={}\n  read={}\n  admin={}\n",
            tokens.write, tokens.read, tokens.admin
        );
    }
    if let Some(region) = regions.values().next() {
        text += &format!(
            "\nSend an event:\n  curl{write} -H 'Content-Type: application/json' -d '{{\"name\":\"hello.world\"}}' {}/v1/events\n",
            region.collector
        );
    }
    text += &format!("Read it back:\n  curl{read} '{api}/v1/series?name=hello.world'\n");
    text += &format!("Look at it:\n  {api}/?name=hello.world\n");
    text += "Ask SQL:\n";
    for centre in description.centres() {
        text += &format!("  mariadb --socket {} --user root\n", centre.socket.display());
    }
    text += &format!(
        "\nAll of this is described in {}.\n",
        data_dir.join(playground::DESCRIPTION_FILE).display()
    );
    text + "Ctrl-C stops everything and keeps the data.\n"
}
