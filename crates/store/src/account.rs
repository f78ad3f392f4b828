//! Accounts: names and passwords that are fit to stand in statements.

use serde::Deserialize;

use crate::{Error, Password};

/// Name and password of one account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The account's name in MariaDB.
    pub user: String,
    /// The place where its password is kept.
    pub password: Password,
}

/// Longest user name in bytes. MariaDB's limit is 80; long ones only hide in logs.
const USER_BYTES_MAX: usize = 32;

impl Account {
    /// Name and password, both fit to stand between quotes in a statement.
    pub(crate) fn checked(&self) -> Result<(&str, String), Error> {
        let user = checked_word("account name", &self.user, USER_BYTES_MAX)?;
        let password = self.password.read(user)?;
        let is_plain = |b: u8| b.is_ascii_graphic() && !b"'\"\\".contains(&b);
        if !password.is_empty() && password.bytes().all(is_plain) {
            Ok((user, password))
        } else {
            Err(Error::PasswordText {
                user: user.to_owned(),
            })
        }
    }
}

/// A word fit to stand in a statement: letters, digits, `_` and `-`, at most `limit` bytes of them.
pub(crate) fn checked_word<'a>(what: &'static str, value: &'a str, limit: usize) -> Result<&'a str, Error> {
    let fine = !value.is_empty()
        && value.len() <= limit
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fine {
        Ok(value)
    } else {
        Err(Error::Word {
            what,
            value: value.to_owned(),
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of a sample environment that nobody has filled in must not open the account to everybody.
    #[test]
    fn an_empty_password_is_refused() {
        let account = Account {
            user: "eventtracker_api".to_owned(),
            password: Password::File("/dev/null".into()),
        };
        let refusal = account.checked().unwrap_err();
        assert!(matches!(refusal, Error::PasswordText { .. }), "{refusal}");
    }
}
