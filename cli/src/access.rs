//! `caviar tokens`, `caviar access` and `caviar health`: who may connect, and with what.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use caviar_client::{Client, ConnectionError, CreatedToken, Dialer, Target, Token};
use caviar_common::join::{JoinString, Role};
use serde_json::{Value, json};

use crate::args::access::{
    Access, CreateToken, Health, ListTokens, RevokeToken, RotateToken, TokensCommand,
};
use crate::connect::{connect, connect_to};
use crate::failure::Failure;
use crate::progress::talk;
use crate::secret_file::{Existing, SecretFile};
use crate::show;
use crate::show::page::{Page, Tone};
use crate::show::table::{Cell, Column, Table};
use crate::show::text;

/// Carries out `caviar tokens`.
pub(crate) async fn tokens(command: &TokensCommand) -> anyhow::Result<()> {
    match command {
        TokensCommand::Create(args) => create(args).await,
        TokensCommand::List(args) => list(args).await,
        TokensCommand::Revoke(args) => revoke(args).await,
        TokensCommand::Rotate(args) => rotate(args).await,
    }
}

async fn create(args: &CreateToken) -> anyhow::Result<()> {
    let output = SecretFile::prepare(args.new.output.as_deref(), Existing::Refused)?;
    let client = connect(&args.new.connection).await?;
    let new = client.create_token(&args.role, &args.name, args.ttl).await?;
    write_new(&new, output, args.new.json)?;
    let Some(created) = &new.token else { return Ok(()) };
    let tokens = client.list_tokens().await?;
    let is_namesake =
        |it: &&Token| it.name == created.name && it.id != created.id && it.revoked_ms.is_none();
    if let Some(other) = tokens.iter().find(is_namesake) {
        let (name, id) = (&created.name, &other.id);
        talk(&format!(
            "note: another token has the name {name}; commands tell them apart by their ids: \
             caviar tokens revoke {id}"
        ));
    }
    Ok(())
}

async fn rotate(args: &RotateToken) -> anyhow::Result<()> {
    let output = SecretFile::prepare(args.new.output.as_deref(), Existing::Replaced)?;
    let client = connect(&args.new.connection).await?;
    if let Some(file) = &args.new.output {
        check_replaced(file, args, &client).await?;
    }
    let new = client.rotate_token(&args.token, args.grace).await?;
    write_new(&new, output, args.new.json)
}

/// Refuses to replace a file unless it is empty or has a join string of the token.
async fn check_replaced(file: &Path, args: &RotateToken, client: &Client) -> anyhow::Result<()> {
    let refused = |what: &str| {
        let message = format!("--output {}: {what}", file.display());
        let hint = format!(
            "name the file with the join string of {}, or a new file; or remove this one if \
             nothing uses it",
            args.token
        );
        Failure::hinted(message, hint).in_input()
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => return Ok(()),
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(&format!("cannot read what is there: {error}")).into()),
    };
    let Ok(join) = text.parse::<JoinString>() else {
        return Err(refused("the file is there already, and it has no join string").into());
    };
    if join.pin.to_string() != client.authority().await?.pin {
        return Err(refused("the file has a join string of another coordinator").into());
    }
    let is_meant = |token: &&Token| token.id == args.token || token.name == args.token;
    let tokens = client.list_tokens().await?;
    let meant: Vec<&Token> = tokens.iter().filter(is_meant).collect();
    let what = match holder_of(join, args, client).await {
        Ok(Some(holder)) if meant.iter().all(|token| token.id != holder.id) => {
            format!("the file has the join string of the token {} ({})", holder.name, holder.id)
        }
        Ok(_) => return Ok(()),
        // A refusal of an ended or replaced secret names its token.
        Err(error) => {
            let error = error.to_string();
            if meant.iter().any(|token| error.contains(&format!("({})", token.id))) {
                return Ok(());
            }
            format!("it cannot be told whether the file is of this token: {error}")
        }
    };
    Err(refused(&what).into())
}

/// The token of a join string. `None` if the coordinator is of an earlier release, which does not
/// tell.
async fn holder_of(
    join: JoinString,
    args: &RotateToken,
    client: &Client,
) -> anyhow::Result<Option<Token>> {
    let target = Target::Trusted(join.at(vec![client.url().parse()?]));
    let dialer = Dialer::new(target, args.new.connection.certificate().as_ref())?;
    let info = Client::connect(&dialer).await?.coordinator().await?;
    Ok(info.and_then(|info| info.token))
}

/// Writes a new token's join string to its file, or else to standard output. It exists only here,
/// so it goes to standard output too if the file cannot be written.
fn write_new(new: &CreatedToken, output: Option<SecretFile>, json: bool) -> anyhow::Result<()> {
    let line = format!("{}\n", new.join);
    let written = output.map(|file| file.write(&line)).transpose();
    let mut out = show::stdout();
    let is_shown = !matches!(written, Ok(Some(_)));
    match &new.token {
        Some(token) if json => {
            let mut object = object(token);
            if let (Value::Object(fields), true) = (&mut object, is_shown) {
                fields.insert("join".to_owned(), new.join.clone().into());
            }
            show::json(&mut out, &object)?;
        }
        Some(_) | None if is_shown => out.write_all(line.as_bytes())?,
        Some(_) | None => {}
    }
    out.flush()?;
    let token = new.token.as_ref().context("the coordinator's reply has no token")?;
    let until = token.expires_ms.map_or_else(
        || "until it is rotated or revoked".to_owned(),
        |expires_ms| format!("for {}", in_time(expires_ms)),
    );
    talk(&format!("token {} ({}), role {}, is valid {until}", token.name, token.id, token.role));
    match written? {
        Some(path) => {
            let command = if token.role == Role::Worker.name() { "worker" } else { "list" };
            talk(&format!("hint: to use it: caviar {command} --join {}", path.display()));
        }
        None => talk(
            "hint: a join string is a password: keep it in a file of mode 0600, or in CAVIAR_JOIN",
        ),
    }
    Ok(())
}

async fn list(args: &ListTokens) -> anyhow::Result<()> {
    let client = connect(&args.connection).await?;
    let tokens = client.list_tokens().await?;
    let mut out = show::stdout();
    if args.json {
        show::json(&mut out, &tokens.iter().map(object).collect::<Vec<_>>())?;
    } else {
        table(&mut out, &tokens, Page::of_stdout())?;
    }
    Ok(out.flush()?)
}

async fn revoke(args: &RevokeToken) -> anyhow::Result<()> {
    let client = connect(&args.connection).await?;
    let token = client.revoke_token(&args.token).await?;
    talk(&format!("token {} ({}) is revoked", token.name, token.id));
    if args.json {
        let mut out = show::stdout();
        show::json(&mut out, &object(&token))?;
        out.flush()?;
    }
    Ok(())
}

fn object(token: &Token) -> Value {
    let Token { id, name, role, created_ms, expires_ms, revoked_ms, earlier_until_ms } = token;
    json!({
        "id": id,
        "name": name,
        "role": role,
        "created_ms": created_ms,
        "expires_ms": expires_ms,
        "revoked_ms": revoked_ms,
        "earlier_until_ms": earlier_until_ms,
    })
}

fn table(out: &mut impl Write, tokens: &[Token], page: Page) -> io::Result<()> {
    let mut table = Table::new([
        Column::new("id"),
        Column::new("name").shortened_to(10),
        Column::new("role"),
        Column::new("state"),
        Column::new("made").ranked(1),
    ]);
    for token in tokens {
        let (state, tone) = state(token);
        table.row([
            token.id.clone().into(),
            Cell::new(Tone::Strong, token.name.clone()),
            token.role.clone().into(),
            Cell::new(tone, state),
            format!("{} ago", since(token.created_ms)).into(),
        ]);
    }
    table.write(out, page)
}

fn state(token: &Token) -> (String, Tone) {
    let now_ms = now_ms();
    let earlier = match token.earlier_until_ms.filter(|until| *until > now_ms) {
        Some(until) => format!("; old secret for {}", in_time(until)),
        None => String::new(),
    };
    match (token.revoked_ms, token.expires_ms) {
        (Some(_), _) => ("revoked".to_owned(), Tone::Bad),
        (None, Some(end)) if end <= now_ms => ("expired".to_owned(), Tone::Bad),
        (None, Some(end)) => (format!("valid for {}{earlier}", in_time(end)), Tone::Good),
        (None, None) => (format!("valid{earlier}"), Tone::Good),
    }
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn since(ms: u64) -> String {
    text::duration(std::time::Duration::from_millis(now_ms().saturating_sub(ms)))
}

fn in_time(ms: u64) -> String {
    text::duration(std::time::Duration::from_millis(ms.saturating_sub(now_ms())))
}

/// Carries out `caviar access`.
pub(crate) async fn access(args: &Access) -> anyhow::Result<()> {
    let all = args.connection.finder().find_all(Role::Admin).map_err(ConnectionError::from)?;
    if all.iter().any(|found| matches!(found.target, Target::Plain(_))) {
        return Err(without_tokens().into());
    }
    let is_secret = args.token || args.join_string;
    let (found, client) = match all.as_slice() {
        [found] if is_secret => (found.clone(), None),
        // Of several, it is the one that answers.
        _ => {
            let connected = connect_to(&args.connection, all).await?;
            (connected.found, Some(connected.client))
        }
    };
    let Target::Trusted(join) = found.target else { return Err(without_tokens().into()) };
    let mut out = show::stdout();
    match client {
        _ if args.token => writeln!(out, "{}", join.secret.reveal())?,
        Some(client) if !args.join_string => {
            let authority = client.authority().await?;
            if args.ca {
                out.write_all(authority.certificate.as_bytes())?;
            } else if args.json {
                show::json(&mut out, &access_object(&join, &authority))?;
            } else {
                write_access(&mut out, &join)?;
            }
        }
        Some(_) | None => writeln!(out, "{}", join.reveal())?,
    }
    Ok(out.flush()?)
}

fn without_tokens() -> Failure {
    Failure::hinted(
        "a coordinator that was started with --insecure has no authority and no tokens",
        "connect to it without TLS: grpcurl -plaintext",
    )
}

fn access_object(join: &JoinString, authority: &caviar_client::Authority) -> Value {
    json!({
        "addresses": join.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "role": join.role.name(),
        "token": join.secret.reveal(),
        "join": join.reveal(),
        "ca": authority.certificate,
        "pin": authority.pin,
        "server_name": authority.server_name,
    })
}

fn write_access(out: &mut impl Write, join: &JoinString) -> io::Result<()> {
    let addresses: Vec<String> = join.addresses.iter().map(ToString::to_string).collect();
    let first = addresses.first().map(String::as_str).unwrap_or_default();
    writeln!(out, "addresses  {}", addresses.join(", "))?;
    writeln!(out, "role       {}", join.role)?;
    writeln!(out, "pin        {}", join.pin)?;
    writeln!(out)?;
    writeln!(out, "The secrets are printed by these commands only:")?;
    writeln!(out, "  caviar access --token          the bearer token")?;
    writeln!(out, "  caviar access --join-string    the join string")?;
    writeln!(out, "  caviar access --ca             the authority's certificate (no secret)")?;
    writeln!(out)?;
    writeln!(out, "For example, with grpcurl:")?;
    writeln!(out, "  caviar access --ca > ca.pem")?;
    writeln!(
        out,
        "  grpcurl -cacert ca.pem -H \"authorization: Bearer $(caviar access --token)\" \\\n    \
         {first} list"
    )
}

/// Carries out `caviar health`: succeeds if a coordinator answers and serves.
pub(crate) async fn health(args: &Health) -> anyhow::Result<()> {
    let client = connect(&args.connection).await?;
    talk(&format!("the coordinator at {} serves", client.url()));
    Ok(())
}
