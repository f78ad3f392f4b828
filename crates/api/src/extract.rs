//! Extractors: how axum makes a handler's arguments out of its request.

use axum::extract::{FromRequest, Request};

use crate::form::Form;
use crate::refusal::Refusal;
use crate::state::Api;

impl FromRequest<Api> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        Ok(Self::read(request, &api.intake).await?)
    }
}
