//! The hostile client, in a process of its own: it comes from another address than the polite one, and under a token of its own.

use anyhow::Result;
use clap::Args;
use gate::Secret;

use super::kinds::Kind;
use crate::beside::{Beside, input_has_ended};
use crate::wire::address;

/// What `hostile` starts beside itself.
#[derive(Debug, Args)]
pub(crate) struct HostileClient {
    #[arg(value_enum)]
    kind: Kind,
    /// The collector's base address
    collector: String,
}

impl HostileClient {
    /// Begins, against the collector at a base address.
    pub(super) async fn start(kind: Kind, collector: &str, secret: &Secret) -> Result<Beside> {
        let arguments = ["hostile-client", &kind.to_string(), collector];
        let mut client = Beside::of_another_machine(&arguments)?;
        client.say(secret.as_str()).await?;
        Ok(client)
    }

    /// Reads the secret from the first line of the input, and ends with the input. Then it says how often it did what it does.
    pub(crate) async fn run(self) -> Result<bool> {
        let secret = secret_of_input()?;
        let work = self
            .kind
            .work(address(&self.collector)?, &secret, input_has_ended());
        println!("{}", work.await?);
        Ok(true)
    }
}

/// The secret in the first line of the input.
pub(super) fn secret_of_input() -> Result<Secret> {
    let mut secret = String::new();
    std::io::stdin().read_line(&mut secret)?;
    Ok(Secret::new(secret.trim())?)
}
