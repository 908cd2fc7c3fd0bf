//! How fast a table is read as the inputs of a model: `cargo test --release -p caviar-data --test
//! reader_speed -- --ignored --nocapture`.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use caviar_common::data::DataSpec;
use caviar_common::numbers::{real, to_usize};
use caviar_data::{ReadOptions, RowBatch, Schema, SchemaReader, load, split};

const NUMBERS: usize = 15;
/// How many texts each category has.
const CATEGORIES: [u64; 5] = [3, 10, 30, 100, 2];

/// Writes a table of 15 numbers, 5 categories and a label.
fn write_table(path: &Path, rows: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let numbers = (0..NUMBERS).map(|c| format!("x{c}"));
    let names = numbers.chain((0..CATEGORIES.len()).map(|c| format!("c{c}")));
    let names: Vec<String> = names.chain(["k".to_owned()]).collect();
    writeln!(file, "{}", names.join(",")).unwrap();
    let mut state = 1_u64;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..rows {
        for column in 0..NUMBERS {
            match column % 3 {
                0 => write!(file, "{},", next(1000)).unwrap(),
                1 => write!(file, "{}.{:04},", next(100), next(10_000)).unwrap(),
                _ => {
                    write!(file, "-0.{:09}{:08},", next(1_000_000_000), next(100_000_000)).unwrap()
                }
            }
        }
        for texts in CATEGORIES {
            write!(file, "value-{},", next(texts)).unwrap();
        }
        writeln!(file, "{}", next(3)).unwrap();
    }
}

/// The most memory that this process had, in megabytes; `None` where the system does not say.
fn peak_megabytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<usize>().ok().map(|kilobytes| kilobytes / 1000)
}

/// The time that this thread has computed, in seconds, whatever else the machine does. `None` where
/// the system does not say.
fn computed_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: usize = stat.split_whitespace().next()?.parse().ok()?;
    Some(real(nanoseconds) / 1e9)
}

#[test]
#[ignore = "a measurement"]
fn a_million_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_table(&path("train.csv"), 5_000);
    write_table(&path("later.csv"), 1_000_000);
    let spec = DataSpec {
        source: path("train.csv").to_str().unwrap().to_owned(),
        label: Some("k".to_owned()),
        validation: 0.2,
        ..DataSpec::default()
    };
    let splits = split(&load(&spec).unwrap(), &spec, 1).unwrap();
    let schema = Schema::clone(splits.schema.as_ref().unwrap());
    let later = path("later.csv");
    let megabytes = real(to_usize(later.metadata().unwrap().len())) / 1e6;
    for needs_label in [false, true, false] {
        let options = ReadOptions { needs_label, ..ReadOptions::default() };
        let (start, before) = (Instant::now(), computed_seconds());
        let mut reader = SchemaReader::open(&schema, later.to_str().unwrap(), &options).unwrap();
        let (mut batch, mut rows, mut sum) = (RowBatch::default(), 0, 0.0_f64);
        while reader.read(&mut batch, 1024).unwrap() > 0 {
            rows += batch.rows();
            sum += f64::from(batch.features().iter().take(64).sum::<f32>());
        }
        let elapsed = start.elapsed().as_secs_f64();
        let seconds = computed_seconds().zip(before).map_or(elapsed, |(now, before)| now - before);
        println!(
            "{rows} rows of {megabytes:.0} MB, {} inputs: {seconds:.2} s computed, {elapsed:.2} s \
             elapsed, {:.0} MB/s, {:.0} rows/s, peak {:?} MB (sum {sum:.1})",
            schema.width(),
            megabytes / seconds,
            real(rows) / seconds,
            peak_megabytes(),
        );
    }
}
