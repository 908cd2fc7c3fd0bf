//! The scripts that sbatch gets.

use std::collections::BTreeSet;
use std::fmt;

use crate::failure::Failure;

/// An option of a script: `#SBATCH --nodes=4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    /// The long name of the option, with its dashes.
    name: &'static str,
    value: Option<String>,
}

impl Directive {
    /// An option with a value.
    pub(crate) fn with(name: &'static str, value: impl fmt::Display) -> Self {
        Self { name, value: Some(value.to_string()) }
    }

    /// An option without a value.
    pub(crate) const fn flag(name: &'static str) -> Self {
        Self { name, value: None }
    }
}

/// A script: options for sbatch, and the command that replaces the shell.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    directives: Vec<Directive>,
    command: String,
}

impl Script {
    /// A script that runs `words`. A word that begins with `$` is left to the shell.
    pub(crate) fn new(directives: Vec<Directive>, words: &[String]) -> Self {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        Self { directives, command: words.join(" ") }
    }

    /// The script with a comment that says how sbatch is called with the options of the user. They
    /// go to sbatch itself, and count more than those in the script.
    pub(crate) fn text_for(&self, sbatch: &[String]) -> String {
        let words: Vec<String> = sbatch.iter().map(|word| quoted(word)).collect();
        let called = format!("# sbatch {}\n", words.join(" "));
        let text = self.to_string();
        match text.split_once('\n') {
            Some((first, rest)) if !sbatch.is_empty() => format!("{first}\n{called}{rest}"),
            Some(_) | None => text,
        }
    }

    /// The script without the options of these names.
    ///
    /// # Errors
    /// The script has no option of such a name, or needs it.
    pub(crate) fn without(mut self, names: &[String]) -> Result<Self, Failure> {
        for name in names {
            let has = self.directives.iter().any(|directive| directive.name == name);
            if !has {
                let known: Vec<&str> = self.directives.iter().map(|known| known.name).collect();
                return Err(Failure::hinted(
                    format!("--skip-directive {name}: the script has no such option"),
                    format!("it has {}", known.join(", ")),
                )
                .in_input());
            }
            self.directives.retain(|directive| directive.name != name);
        }
        Ok(self)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "#!/bin/bash")?;
        for Directive { name, value } in &self.directives {
            match value {
                Some(value) => writeln!(out, "#SBATCH {name}={}", quoted(value))?,
                None => writeln!(out, "#SBATCH {name}")?,
            }
        }
        writeln!(out, "exec {}", self.command)
    }
}

/// The options that say which part of a node a job gets. Without a number of slots it gets whole
/// nodes, unless the options of the user say something about processors.
pub(crate) fn resources(slots: Option<u32>, sbatch: &[String]) -> Vec<Directive> {
    if let Some(slots) = slots {
        return vec![Directive::with("--cpus-per-task", slots)];
    }
    let cpus = ["--cpus-per-task", "--exclusive", "--oversubscribe", "--mincpus"];
    if has_option(sbatch, &cpus, Some('c')) {
        return Vec::new();
    }
    let mut whole = vec![Directive::flag("--exclusive")];
    if !has_option(sbatch, &["--mem", "--mem-per-cpu"], None) {
        // 0 is all memory of the node.
        whole.push(Directive::with("--mem", 0));
    }
    whole
}

/// Whether the options of the user contain one of these.
fn has_option(options: &[String], long: &[&str], short: Option<char>) -> bool {
    options.iter().any(|option| {
        let name = option.split('=').next().unwrap_or_default();
        long.contains(&name)
            || short.is_some_and(|short| {
                option.strip_prefix('-').is_some_and(|rest| rest.starts_with(short))
            })
    })
}

/// The clusters that the options of the user, or the environment of sbatch, name. Only one without
/// a name, the one that the commands of Slurm mean by themselves, if nothing is named. Empty for
/// all clusters: sbatch says which one it chose.
pub(crate) fn clusters(options: &[String], environment: Option<&str>) -> BTreeSet<Option<String>> {
    let mut named = environment.map(str::to_owned);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if matches!(name, "-M" | "--clusters" | "--cluster") && name == word {
            named = words.next().cloned();
        } else if matches!(name, "--clusters" | "--cluster") {
            named = Some(value.to_owned());
        } else if let Some(value) = word.strip_prefix("-M") {
            named = Some(value.to_owned());
        }
    }
    match named {
        None => BTreeSet::from([None]),
        Some(named) if named == "all" => BTreeSet::new(),
        Some(named) => named.split(',').map(|name| Some(name.to_owned())).collect(),
    }
}

/// Whether the options of the user have a comment, which replaces that of the script.
pub(crate) fn has_comment(options: &[String]) -> bool {
    has_option(options, &["--comment"], None)
}

/// A word for a shell, and for the parser of sbatch.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%+@".contains(c);
    let is_variable = word.starts_with("slurm-$");
    if is_variable {
        format!("\"{word}\"")
    } else if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_script_has_its_options_and_one_command() {
        let directives = vec![Directive::with("--nodes", 4), Directive::flag("--exclusive")];
        let command = ["caviar", "/my data/it's", "slurm-$SLURM_JOB_ID"].map(str::to_owned);
        let script = Script::new(directives, &command);
        let expected = "#!/bin/bash\n#SBATCH --nodes=4\n#SBATCH --exclusive\n\
                        exec caviar '/my data/it'\\''s' \"slurm-$SLURM_JOB_ID\"\n";
        assert_eq!(script.to_string(), expected);
        let options = ["-p", "cpu", "--comment=two words"].map(str::to_owned);
        let called = "#!/bin/bash\n# sbatch -p cpu '--comment=two words'\n#SBATCH --nodes=4\n";
        assert!(script.text_for(&options).starts_with(called), "{}", script.text_for(&options));
        assert_eq!(script.text_for(&[]), expected);
        let without = script.clone().without(&words("--exclusive")).unwrap().to_string();
        assert!(!without.contains("exclusive"), "{without}");
        let error = script.without(&words("--memory")).unwrap_err().to_string();
        assert_eq!(error, "--skip-directive --memory: the script has no such option");
    }

    #[test]
    fn a_job_gets_whole_nodes_unless_something_is_said_about_processors() {
        let names = |slots, options: &str| -> Vec<&str> {
            resources(slots, &words(options)).iter().map(|directive| directive.name).collect()
        };
        assert_eq!(names(None, "-p cpu"), ["--exclusive", "--mem"]);
        assert_eq!(names(Some(8), "-p cpu"), ["--cpus-per-task"]);
        assert_eq!(names(None, "--mem=4G"), ["--exclusive"]);
        for options in ["-c 8", "-c8", "--cpus-per-task=8", "--cpus-per-task 8", "--exclusive=user"]
        {
            assert_eq!(names(None, options), Vec::<&str>::new(), "{options}");
        }
        // An option that only begins alike.
        assert_eq!(names(None, "--comment=x"), ["--exclusive", "--mem"]);
    }

    #[test]
    fn the_clusters_are_those_of_the_last_option_or_else_of_the_environment() {
        let named = |options: &str, environment: Option<&str>| -> Vec<String> {
            let clusters = clusters(&words(options), environment).into_iter();
            clusters.map(|cluster| cluster.unwrap_or_else(|| "its own".to_owned())).collect()
        };
        for options in ["-M b,a -p cpu", "-Mb,a", "--clusters=a,b", "--cluster b,a", "-M c -Ma,b"] {
            assert_eq!(named(options, Some("d")), ["a", "b"], "{options}");
        }
        assert_eq!(named("-p cpu --mem=4G", None), ["its own"]);
        assert_eq!(named("-p cpu", Some("d")), ["d"]);
        assert_eq!(named("-M all", None), Vec::<String>::new());
    }
}
