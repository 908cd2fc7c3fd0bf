//! The arguments of `caviar tokens`, `caviar access` and `caviar health`.

use std::path::PathBuf;
use std::time::Duration;

use caviar_client::ConnectionArguments;
use caviar_common::duration;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::values::path;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar tokens create --role worker --output worker.join
  caviar tokens list")]
pub(crate) struct Tokens {
    /// What is done to the tokens.
    #[command(subcommand)]
    pub(crate) command: TokensCommand,
}

/// What `caviar tokens` does.
#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Make a token, and print its join string
    ///
    /// The join string is a password. It cannot be printed again. A file of --output must not be
    /// there already.
    #[command(after_help = "\
Examples:
  caviar tokens create --role worker --output worker.join
  caviar tokens create --role view --ttl 7d --name dashboard")]
    Create(CreateToken),
    /// List the tokens, the ended ones of the last 90 days included
    #[command(after_help = "Example:\n  caviar tokens list --json")]
    List(ListTokens),
    /// End a token at once; connections that use it are closed
    #[command(after_help = "Example:\n  caviar tokens revoke dashboard")]
    Revoke(RevokeToken),
    /// Give a token a new secret, and print its join string
    ///
    /// A file of --output that is there already is replaced if it has a join string of this token.
    #[command(after_help = "\
Examples:
  caviar tokens rotate first-worker --grace 1h
  caviar tokens rotate cluster --output worker.join")]
    Rotate(RotateToken),
}

impl TokensCommand {
    pub(crate) const fn is_json(&self) -> bool {
        match self {
            Self::Create(args) => args.new.json,
            Self::List(args) => args.json,
            Self::Revoke(args) => args.json,
            Self::Rotate(args) => args.new.json,
        }
    }
}

/// What the commands that make a secret have in common.
#[derive(Debug, Args)]
pub(crate) struct NewSecret {
    /// Write the join string to this file, which only this user can read
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(crate) output: Option<PathBuf>,
    /// Write the token and its join string as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator of the token.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    /// What it allows: view reads; worker trains; submit also creates and controls sweeps; admin
    /// does everything
    #[arg(long, value_name = "ROLE",
        value_parser = PossibleValuesParser::new(["view", "submit", "worker", "admin"]))]
    pub(crate) role: String,
    /// Its name in lists and in the audit log [default: the role]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// How long it is valid, such as 12h or 7d [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,
    /// What becomes of the new secret.
    #[command(flatten)]
    pub(crate) new: NewSecret,
}

#[derive(Debug, Args)]
pub(crate) struct ListTokens {
    /// Write a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator to ask.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeToken {
    /// Id of the token, or its name
    pub(crate) token: String,
    /// Write the token as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator of the token.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RotateToken {
    /// Id of the token, or its name
    pub(crate) token: String,
    /// How long the old secret stays valid, such as 1h
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    pub(crate) grace: Duration,
    /// What becomes of the new secret.
    #[command(flatten)]
    pub(crate) new: NewSecret,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar access                          Everything, with an example
  caviar access --ca > ca.pem
  grpcurl -cacert ca.pem -H \"authorization: Bearer $(caviar access --token)\" \\
    127.0.0.1:7070 caviar.v1.SweepService/ListSweeps")]
pub(crate) struct Access {
    /// Print the authority's certificate only
    #[arg(long, conflicts_with_all = ["token", "join_string", "json"])]
    pub(crate) ca: bool,
    /// Print the token only
    #[arg(long, conflicts_with_all = ["join_string", "json"])]
    pub(crate) token: bool,
    /// Print the join string only
    #[arg(long, conflicts_with = "json")]
    pub(crate) join_string: bool,
    /// Write everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The coordinator to connect to.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// The coordinator to ask.
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}
