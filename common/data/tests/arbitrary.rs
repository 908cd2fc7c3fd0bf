//! Reading any bytes gives data or an error that names a field.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]

use caviar_common::data::{DataSpec, Task};
use caviar_data::{load, prepare};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, proptest};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;

fn read(
    name: &str,
    content: &[u8],
    labels: Option<&[u8]>,
    task: Task,
) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path(name), content).unwrap();
    if let Some(labels) = labels {
        std::fs::write(path("labels"), labels).unwrap();
    }
    let label = labels.is_none().then(|| "k".to_owned());
    let spec = DataSpec {
        source: path(name),
        label,
        labels: labels.map(|_| path("labels")),
        task: Some(task),
        validation: 0.3,
        test: 0.2,
        ..DataSpec::default()
    };
    if let Err(error) = load(&spec) {
        prop_assert!(error.field().starts_with("data."));
        prop_assert!(error.to_string().contains(&path("")), "{}", error);
    }
    if let Err(error) = prepare(&spec, 1) {
        prop_assert!(error.field().starts_with("data."));
    }
    Ok(())
}

fn task() -> impl Strategy<Value = Task> {
    select(vec![Task::Classification, Task::Regression])
}

/// Text that resembles a CSV file.
fn nearly_csv() -> impl Strategy<Value = String> {
    let cell =
        select(vec!["1", "2.5", "-3", "a", "", "k", "\"", "NaN", "1e99", "\u{e9}", ",", "\r"]);
    let row = vec(cell, 1..4).prop_map(|cells| cells.join(","));
    (select(vec!["x,k", "k,x", "x,y,k", "k"]), vec(row, 0..12))
        .prop_map(|(header, rows)| format!("{header}\n{}", rows.join("\n")))
}

/// An IDX header with small sizes, and any content.
fn nearly_idx(dimensions: u8) -> impl Strategy<Value = Vec<u8>> {
    (vec(0u8..6, usize::from(dimensions)), vec(any::<u8>(), 0..130)).prop_map(
        move |(sizes, content)| {
            let sizes = sizes.into_iter().flat_map(|size| [0, 0, 0, size]);
            [0, 0, 8, dimensions].into_iter().chain(sizes).chain(content).collect()
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_as_csv_give_data_or_an_error(content in vec(any::<u8>(), 0..300), task in task()) {
        read("data.csv", &content, None, task)?;
    }

    #[test]
    fn damaged_csv_gives_data_or_an_error(content in nearly_csv(), task in task()) {
        read("data.csv", content.as_bytes(), None, task)?;
    }

    #[test]
    fn any_bytes_as_idx_give_data_or_an_error(
        images in vec(any::<u8>(), 0..100),
        labels in vec(any::<u8>(), 0..100),
        task in task(),
    ) {
        read("images.idx", &images, Some(&labels), task)?;
    }

    #[test]
    fn damaged_idx_gives_data_or_an_error(
        images in nearly_idx(3),
        labels in nearly_idx(1),
        task in task(),
    ) {
        read("images.idx", &images, Some(&labels), task)?;
    }

    #[test]
    fn any_bytes_as_gzip_give_data_or_an_error(tail in vec(any::<u8>(), 0..100), task in task()) {
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
        let content: Vec<u8> = header.into_iter().chain(tail).collect();
        read("data.csv.gz", &content, None, task)?;
        read("images.idx.gz", &content, Some(&content), task)?;
    }
}
