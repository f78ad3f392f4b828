//! The files that a switch writes, and what is left to do where it writes none.

use std::path::Path;

use anyhow::Context;
use store::Source;

use crate::commands::region::files::Editable;
use crate::commands::region::{Operator, config_file};
use crate::config::Config;

/// The files to be changed, each with its new text.
pub(super) struct Files {
    /// The centre's configuration.
    central: (Editable, String),
    /// The region's, if it was named.
    region: Option<(Editable, String)>,
    ledger_window_s: Option<u32>,
    new: Source,
}

impl Files {
    /// Reads the files and makes their new texts. Nothing is written yet.
    ///
    /// # Errors
    /// A file that could not be written later, or has no place for the address.
    pub(super) fn open(
        operator: &Operator,
        new: &Source,
        region_config: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let central = Editable::open(&operator.config_path)?;
        let with_source = config_file::with_source(&central.text, new)
            .with_context(|| format!("{} cannot be changed", central.path()))?;
        let mut files = Self {
            central: (central, with_source),
            region: None,
            ledger_window_s: None,
            new: new.clone(),
        };
        if let Some(path) = region_config {
            let region = Editable::open(path)?;
            let with_regional = config_file::with_regional(&region.text, new)
                .with_context(|| format!("{} cannot be changed", region.path()))?;
            files.ledger_window_s = Config::read(path)?.worker.map(|worker| worker.ledger_window_s);
            files.region = Some((region, with_regional));
        }
        Ok(files)
    }

    /// Seconds for which a client may repeat a request under its idempotency key, where the region's file says it.
    pub(super) fn ledger_window_s(&self) -> Option<u32> {
        self.ledger_window_s
    }

    /// Writes the new texts, and says what has changed.
    ///
    /// # Errors
    /// A file that was changed by somebody else meanwhile, or cannot be written.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        let files = std::iter::once(&mut self.central).chain(self.region.as_mut());
        for (file, text) in files {
            let verb = if file.replace(text.clone())? {
                "now has"
            } else {
                "had"
            };
            println!("{} {verb} the address {}", file.path(), self.new.address());
        }
        Ok(())
    }

    /// Says what the operator has to do now: workers, and the other centres.
    pub(super) fn tell_what_is_left(
        &self,
        operator: &Operator,
        old: &str,
        is_planned: bool,
    ) -> anyhow::Result<()> {
        let Source {
            region,
            host,
            port,
            tls_ca,
        } = &self.new;
        let (tls_setting, tls_option) = match tls_ca {
            Some(ca) => (
                format!(", tls_ca \"{}\"", ca.display()),
                format!(" --tls-ca {}", ca.display()),
            ),
            None => (String::new(), String::new()),
        };
        println!(
            "left to do, unless it is done ({region} counts nothing, and its queue grows, until its workers run on the new server):"
        );
        match &self.region {
            Some((file, _)) => println!(
                "  restart {region}'s workers that read {}; on other machines, set [regional] to host \"{host}\", port {port}{tls_setting} first, without a socket",
                file.path()
            ),
            None => println!(
                "  in the configuration of {region}'s workers, set [regional] to host \"{host}\", port {port}{tls_setting}, without a socket; restart them"
            ),
        }
        let (flag, until) = if is_planned {
            ("", format!(", before {old} goes"))
        } else {
            (" --accept-loss", String::new())
        };
        for place in operator.elsewhere()? {
            println!(
                "  run 'eventtracker region switch {region} --to {host}:{port}{tls_option}{flag}' {place}{until}"
            );
        }
        Ok(())
    }
}
