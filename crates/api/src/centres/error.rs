//! Errors of a centre that is of no use to a request.

/// Reasons for which a centre did not do its part; another one may, or the same one later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its database failed, or did not answer in time.
    #[error("{} did not answer", .0.named_server().map_or("the central database".to_owned(), |name| format!("central server {name}")))]
    Database(#[from] store::Error),
    /// Its snapshot lacks a flush that an earlier answer had.
    #[error("the central database lacks counts that were answered before")]
    GoesBack,
}

/// An error of work that is done at a centre.
pub(crate) trait AtCentre: From<Error> {
    /// The centre's error, where it is one. For all others no other centre is asked.
    ///
    /// # Errors
    /// The error as it is, where it is not the centre's.
    fn of_centre(self) -> Result<Error, Self>;
}

impl AtCentre for Error {
    fn of_centre(self) -> Result<Error, Self> {
        Ok(self)
    }
}
