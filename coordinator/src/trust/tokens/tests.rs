//! What is accepted, and until when.

use super::*;

fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

fn in_memory() -> Tokens {
    Tokens::open(None).unwrap()
}

#[test]
fn a_token_is_known_again_after_a_restart_and_its_secret_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let tokens = Tokens::open(Some(path.clone())).unwrap();
    let (view, secret) = tokens.create(name("ci"), Role::Submit, None).unwrap();
    let again = Tokens::open(Some(path.clone())).unwrap();
    assert_eq!(again.accept(&secret, now_ms()).unwrap().token, view);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains(&secret.reveal()), "{text}");
}

#[test]
fn another_secret_is_unknown() {
    let tokens = in_memory();
    tokens.create(name("a"), Role::Admin, None).unwrap();
    let other = Secret::new([0; 16]);
    assert_eq!(tokens.accept(&other, now_ms()).unwrap_err(), Denied::Unknown);
}

#[test]
fn an_expired_token_is_refused_with_the_command_that_makes_a_new_one() {
    let tokens = in_memory();
    let ttl = Duration::from_secs(60);
    let (view, secret) = tokens.create(name("ci"), Role::Submit, Some(ttl)).unwrap();
    let end = view.expires_ms.unwrap();
    assert!(tokens.accept(&secret, end - 1).is_ok());
    let denied = tokens.accept(&secret, end).unwrap_err().to_string();
    assert!(denied.starts_with(&format!("the token ci ({}) expired at 20", view.id)));
    assert!(denied.ends_with("caviar tokens create --role submit"), "{denied}");
}

#[test]
fn a_revoked_token_ends_at_once_and_only_once() {
    let tokens = in_memory();
    let (view, secret) = tokens.create(name("ci"), Role::View, None).unwrap();
    tokens.revoke("ci").unwrap();
    let denied = tokens.accept(&secret, now_ms()).unwrap_err().to_string();
    assert!(denied.contains("was revoked at"), "{denied}");
    assert!(matches!(tokens.revoke(&view.id.0), Err(TokenError::Ended(_))));
    assert!(matches!(tokens.revoke("x"), Err(TokenError::NoSuchToken(_))));
}

#[test]
fn every_replaced_secret_keeps_its_own_grace_period() {
    let tokens = in_memory();
    let (_, first) = tokens.create(name("ci"), Role::View, None).unwrap();
    let (_, second) = tokens.rotate("ci", Duration::from_secs(3_600)).unwrap();
    let (_, third) = tokens.rotate("ci", Duration::from_secs(60)).unwrap();
    let soon = now_ms() + 61_000;
    assert!(tokens.accept(&first, soon).is_ok());
    assert!(tokens.accept(&second, soon).unwrap_err().to_string().contains("was replaced at"));
    let later = now_ms() + 3_601_000;
    assert!(tokens.accept(&first, later).unwrap_err().to_string().contains("was replaced at"));
    assert!(tokens.accept(&third, later).is_ok());
    // Only the latest ones are kept.
    for _ in 0..MAX_REPLACED {
        tokens.rotate("ci", Duration::ZERO).unwrap();
    }
    assert_eq!(tokens.accept(&first, soon).unwrap_err(), Denied::Unknown);
}

#[test]
fn a_rotated_token_keeps_its_old_secret_for_the_grace_period() {
    let tokens = in_memory();
    let (view, old) = tokens.create(name("ci"), Role::View, None).unwrap();
    let grace = Duration::from_secs(60);
    let before = now_ms();
    let (rotated, new) = tokens.rotate("ci", grace).unwrap();
    assert_eq!(rotated.id, view.id);
    assert_eq!(view.earlier_until_ms, None);
    let until = rotated.earlier_until_ms.unwrap();
    assert!((before + 60_000..=now_ms() + 60_000).contains(&until), "{until}");
    assert!(tokens.accept(&old, now_ms()).is_ok());
    let after = now_ms() + 60_001;
    assert!(tokens.accept(&old, after).unwrap_err().to_string().contains("was replaced at"));
    assert!(tokens.accept(&new, after).is_ok());
}

#[test]
fn a_name_of_two_tokens_is_ambiguous_until_one_has_ended() {
    let tokens = in_memory();
    let (first, _) = tokens.create(name("ci"), Role::View, None).unwrap();
    tokens.create(name("ci"), Role::View, None).unwrap();
    assert!(matches!(tokens.revoke("ci"), Err(TokenError::Ambiguous(_))));
    tokens.revoke(&first.id.0).unwrap();
    assert!(tokens.revoke("ci").is_ok());
}

#[tokio::test]
async fn who_uses_a_token_hears_of_its_end() {
    let tokens = std::sync::Arc::new(in_memory());
    let (_, secret) = tokens.create(name("ci"), Role::View, None).unwrap();
    let accepted = tokens.accept(&secret, now_ms()).unwrap();
    let ended = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.until_ended(&accepted).await }
    });
    tokio::task::yield_now().await;
    tokens.create(name("other"), Role::View, None).unwrap();
    tokio::task::yield_now().await;
    assert!(!ended.is_finished());
    tokens.revoke("ci").unwrap();
    assert!(matches!(ended.await.unwrap(), Denied::Revoked { .. }));
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    files::write_secret(&path, "[{}]").unwrap();
    let error = Tokens::open(Some(path)).unwrap_err().to_string();
    assert!(error.contains("tokens.json is damaged"), "{error}");
}
