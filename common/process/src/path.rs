//! Paths in arguments.

use std::path::PathBuf;

/// Expands `~` at the beginning of a path, which a shell does not do in `--store=~/caviar.db`.
///
/// # Errors
/// The path is a URL.
pub fn expand_path(path: PathBuf) -> Result<PathBuf, String> {
    if path.to_str().is_some_and(|text| text.contains("://")) {
        return Err("expected a path, but this is a URL".to_owned());
    }
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => Ok(home.join(rest)),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_at_the_beginning_is_the_home_folder_and_a_url_is_refused() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(expand_path("~/a.db".into()).unwrap(), home.join("a.db"));
        assert_eq!(expand_path("a/~b.db".into()).unwrap(), PathBuf::from("a/~b.db"));
        assert!(expand_path("http://a/b.db".into()).unwrap_err().ends_with("URL"));
    }
}
