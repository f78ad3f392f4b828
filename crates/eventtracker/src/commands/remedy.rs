//! Remedies: the commands that help against errors of the libraries, which know no command line.

use store::Error;

/// A sentence on what to run, where a command of this program helps against an error or one of its causes.
pub(crate) fn remedy(error: &anyhow::Error) -> Option<String> {
    let error = error.chain().find_map(|cause| cause.downcast_ref::<Error>())?;
    Some(match error {
        Error::NotAnOutbox { .. } => "'eventtracker schema check' names them".to_owned(),
        Error::Tables { .. } => "run 'eventtracker schema apply' there with the region's file".to_owned(),
        Error::NoLedgerClock { .. } => "run 'eventtracker schema apply' there".to_owned(),
        Error::Switching { .. } => "another 'eventtracker region switch' is at it".to_owned(),
        Error::Applying { .. } => "another 'eventtracker schema apply' is at it".to_owned(),
        Error::OtherServer { region, to, .. } => {
            format!("'eventtracker region switch {region} --to {to}' lets it move")
        }
        Error::BinlogGap { .. } => {
            "'eventtracker status' at a centre that runs names the oldest backup that can be attached"
                .to_owned()
        }
        Error::BinlogBehind { .. } => "'eventtracker region switch' lets it move".to_owned(),
        Error::LedgerDiffers { .. } | Error::Stopped { .. } | Error::InUse { .. } | Error::Pruning { .. } => {
            "run the command again".to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_remedy_is_found_behind_what_was_tried() {
        let moved = Error::OtherServer {
            region: "eu".to_owned(),
            from: "10.1.0.10:3306".to_owned(),
            to: "10.1.0.11:3306".to_owned(),
        };
        let error = Err::<(), _>(moved)
            .context("failed to add the region")
            .unwrap_err();
        let expected = "'eventtracker region switch eu --to 10.1.0.11:3306' lets it move";
        assert_eq!(remedy(&error).as_deref(), Some(expected));
        assert_eq!(remedy(&anyhow::anyhow!("something else")), None);
    }
}
