use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use time::{Date, Month};

use super::dates::DateParts;
use super::numbers::{DecimalMark, Thousands};
use super::*;

fn column(cells: &[&str]) -> Candidates {
    let mut candidates = Candidates::new();
    for cell in cells {
        candidates.add(cell);
    }
    candidates
}

fn forms() -> impl Iterator<Item = Form> {
    (0..FORMS).filter_map(Form::nth)
}

/// Checks the description of a column and the values of its cells.
fn check(description: &str, cells: &[(&str, f64)]) {
    let texts: Vec<&str> = cells.iter().map(|(text, _)| *text).collect();
    let form = column(&texts).form().unwrap_or_else(|| panic!("{texts:?} is text"));
    assert_eq!(form.to_string(), description, "{texts:?}");
    for (text, value) in cells {
        assert_eq!(form.parse(text), Ok(*value), "{text:?} in {form}");
    }
}

/// Checks that the cells of a column have no form in common.
fn check_text(cells: &[&str]) {
    assert_eq!(column(cells).form(), None, "{cells:?}");
}

#[test]
fn a_column_of_plain_numbers_is_read_as_programs_write_them() {
    check(
        "numbers such as 1.5 or 2e-3",
        &[("1.5", 1.5), ("-2e-3", -0.002), ("+7", 7.0), (".5", 0.5), ("5.", 5.0), ("1E2", 100.0)],
    );
    check("numbers such as 1.5 or 2e-3", &[("0", 0.0), ("1", 1.0)]);
    check("numbers such as 1.5 or 2e-3", &[("20241231", 20_241_231.0)]);
    check("numbers such as 1.5 or 2e-3", &[("1.234", 1.234), ("2.345", 2.345)]);
}

#[test]
fn one_cell_can_decide_the_convention_of_all_numbers() {
    check("numbers with a decimal comma, such as 12,5", &[("1,234", 1.234), ("3,15", 3.15)]);
    check("numbers with a decimal comma, such as 12,5", &[("1,234", 1.234), ("0,123", 0.123)]);
    check("numbers with a decimal comma, such as 12,5", &[("1,23456", 1.23456), ("7", 7.0)]);
    check("numbers with a decimal comma, such as 12,5", &[("1,234e3", 1234.0)]);
    check("numbers with a decimal comma, such as 12,5", &[(",5", 0.5)]);
    check(
        "numbers with commas between thousands, such as 1,234.5",
        &[("1,234", 1234.0), ("1,234,567", 1_234_567.0), ("12", 12.0)],
    );
    check(
        "numbers with commas between thousands, such as 1,234.5",
        &[("-1,234", -1234.0), ("0.5", 0.5), ("1234.5", 1234.5), ("2e3", 2000.0)],
    );
    check(
        "numbers with points between thousands, such as 1.234,5",
        &[("1.234", 1234.0), ("3,15", 3.15)],
    );
    check(
        "numbers with points between thousands, such as 1.234,5",
        &[("1.234", 1234.0), ("1.234.567", 1_234_567.0)],
    );
    check(
        "numbers with blanks between thousands, such as 1 234,5",
        &[("1 234,5", 1234.5), ("1 234", 1234.0), ("1,234", 1.234)],
    );
    check(
        "numbers with blanks between thousands, such as 1 234.5",
        &[("1 234", 1234.0), ("12 345 678", 12_345_678.0)],
    );
    check(
        "numbers with apostrophes between thousands, such as 1'234.5",
        &[("1'234'567.25", 1_234_567.25)],
    );
    check(
        "numbers with apostrophes between thousands, such as 1\u{2019}234.5",
        &[("1\u{2019}234.25", 1234.25)],
    );
    check(
        "numbers with no-break spaces between thousands, such as 1\u{a0}234,5",
        &[("+1\u{a0}234,25", 1234.25)],
    );
    check(
        "numbers with narrow no-break spaces between thousands, such as 1\u{202f}234,5",
        &[("1\u{202f}234,25", 1234.25)],
    );
}

#[test]
fn percentages_are_fractions_rounded_once() {
    // 0.7 / 100 is another f64 than 0.007.
    check("percentages such as 12.5%", &[("12.5%", 0.125), ("0.7 %", 0.007), ("-100%", -1.0)]);
    check("percentages with a decimal comma, such as 12,5%", &[("12,5\u{a0}%", 0.125)]);
    check(
        "percentages with commas between thousands, such as 1,234.5%",
        &[("1,234,500%", 12345.0), ("5%", 0.05)],
    );
    check_text(&["12.5%", "12.5"]);
    check_text(&["1e2%"]);
    check_text(&["%"]);
}

#[test]
fn a_column_whose_numbers_contradict_each_other_is_text() {
    check_text(&["1.5", "3,14"]);
    check_text(&["1,234,567", "3,14"]);
    check_text(&["1,234", "1 234", "1.5"]);
    check_text(&["1 234", "1\u{a0}234"]);
    check_text(&["1 234'567"]);
    for text in ["1,23,456", "1,2345.5", ",123,456", "1234,567.8", "01,234.5", "1,234,"] {
        check_text(&[text]);
    }
    for text in ["0x10", "1_000", "nan", "-NaN", "--5", "+-5", "1,5.", "1..5", "e5", "1 ", "-", "."]
    {
        check_text(&[text]);
    }
}

#[test]
fn infinite_numbers_make_a_column_text_and_are_counted() {
    let candidates = column(&["1", "1e999", "inf", "-Infinity", "x", "1.5"]);
    assert_eq!(candidates.form(), None);
    assert_eq!((candidates.cells(), candidates.numbers(), candidates.infinities()), (6, 2, 3));
    let form = Form::Number(NumberForm::PLAIN);
    assert_eq!(form.parse("1e999"), Err(CellFault::OutOfRange));
    assert_eq!(form.parse("-inf"), Err(CellFault::Infinite));
    assert_eq!(form.parse("nan"), Err(CellFault::Misfit { form }));
}

#[test]
fn a_column_of_booleans_uses_one_pair_of_words() {
    check("true or false", &[("true", 1.0), ("FALSE", 0.0), ("True", 1.0)]);
    check("yes or no", &[("no", 0.0), ("Yes", 1.0)]);
    check("t or f", &[("t", 1.0), ("F", 0.0)]);
    check("y or n", &[("N", 0.0), ("y", 1.0)]);
    check("on or off", &[("off", 0.0), ("on", 1.0)]);
    [["true", "t"], ["yes", "n"], ["true", "1"]].iter().for_each(|cells| check_text(cells));
}

/// The days from 1970-01-01 to 2024-12-31.
const LAST_OF_2024: f64 = 20_088.0;
const HALF_PAST_SIX_PM: f64 = LAST_OF_2024 + 0.770_833_333_333_333_3;

#[test]
fn dates_are_days_since_1970_in_every_form() {
    check(
        "dates such as 2024-12-31",
        &[
            ("2024-12-31", LAST_OF_2024),
            ("1970-01-01", 0.0),
            ("1969-12-31", -1.0),
            ("2024-12-31T12:00Z", LAST_OF_2024 + 0.5),
            ("2024-12-31 18:30:00", HALF_PAST_SIX_PM),
            ("2024-12-31T18:30:00.000000000000", HALF_PAST_SIX_PM),
            ("2024-12-31T20:30+02:00", HALF_PAST_SIX_PM),
            ("2025-01-01 00:00 +0530", HALF_PAST_SIX_PM),
            ("2024-12-31 16:30:00-02", HALF_PAST_SIX_PM),
            ("2024-12-31 06:30:00 PM UTC", HALF_PAST_SIX_PM),
            ("1970-1-2t00:00:00.25", 1.0 + 0.25 / 86_400.0),
        ],
    );
    check("dates such as 2024/12/31", &[("2024/12/31 18:30", HALF_PAST_SIX_PM)]);
    check("dates such as 2024.12.31", &[("2024.12.31", LAST_OF_2024)]);
    check("dates such as 31.12.2024 (day first)", &[("31.12.24 18:30", HALF_PAST_SIX_PM)]);
    check("dates such as 31.12.2024 (day first)", &[("1.2.1970", 31.0)]);
    for text in ["31 Dec 2024 18:30", "31 December 2024 6:30PM", "31 dec 24 18:30:00"] {
        check("dates such as 31 Dec 2024", &[(text, HALF_PAST_SIX_PM)]);
    }
    check("dates such as 31-Dec-2024", &[("31-Dec-24", LAST_OF_2024)]);
    check(
        "dates such as Dec 31, 2024",
        &[
            ("Dec 31, 2024", LAST_OF_2024),
            ("December 31 2024 06:30 pm", HALF_PAST_SIX_PM),
            ("Sept  1 1970", 243.0),
        ],
    );
    check("months such as 2024-12", &[("2024-12", LAST_OF_2024 - 30.0)]);
    check("months such as Dec 2024", &[("Dec 2024", LAST_OF_2024 - 30.0), ("may 1970", 120.0)]);
    check("months such as Dec-2024", &[("Dec-2024", LAST_OF_2024 - 30.0), ("MAY-1970", 120.0)]);
    check_text(&["Jan-18"]);
    check(
        "times of day such as 12:30",
        &[("12:30", 12.5 / 24.0), ("0:00", 0.0), ("12:00:00 AM", 0.0), ("12:45 pm", 12.75 / 24.0)],
    );
}

#[test]
fn one_cell_can_decide_whether_the_day_comes_first() {
    check(
        "dates such as 31/12/2024 (day first)",
        &[("01/02/1970", 31.0), ("31/12/2024", LAST_OF_2024)],
    );
    check(
        "dates such as 12/31/2024 (month first)",
        &[("1/2/1970", 1.0), ("12/31/2024, 6:30:00\u{202f}PM", HALF_PAST_SIX_PM)],
    );
    check("dates such as 31-12-2024 (day first)", &[("31-12-2024", LAST_OF_2024)]);
    check("dates such as 12-31-2024 (month first)", &[("12-31-24", LAST_OF_2024)]);
    // 68 is 2068, and 69 is 1969.
    check(
        "dates such as 31/12/2024 (day first)",
        &[("31/12/68", LAST_OF_2024 + 16_071.0), ("31/12/69", -1.0)],
    );
}

#[test]
fn dates_that_do_not_exist_or_contradict_each_other_are_text() {
    check_text(&["31/12/2024", "12/31/2024"]);
    check_text(&["2024-12-31", "2024/12/31"]);
    check_text(&["2024-12-31", "2024-12"]);
    for text in [
        "2023-02-29",
        "30/02/2024",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "0000-01-01",
        "31/12/024",
        "24-12-31x",
        "2024-12-31T",
        "2024-12-31T24:00",
        "2024-12-31T23:60",
        "2024-12-31T23:59:60",
        "2024-12-31T23:5",
        "2024-12-31T23:59:00.",
        "2024-12-31T13:00 PM",
        "2024-12-31T0:30 AM",
        "2024-12-31T23:59+24:00",
        "2024-12-31T23:59+01:60",
        "2024-12-31T23:59+1",
        "2024-12-31T23:59+02:",
        "2024-12-31T23:59 CET",
        "31/12/2024 23:59Z",
        "2024-1",
        "2024-12 10:00",
        "Dez 31, 2024",
        "D 31, 2024",
        "31Dec2024",
        "31 Dec-2024",
        "16:9",
        "25:00",
    ] {
        check_text(&[text]);
    }
}

#[test]
fn a_column_between_two_readings_is_ambiguous() {
    let note = |cells: &[&str]| column(cells).ambiguity().map(|ambiguity| ambiguity.to_string());
    assert_eq!(
        note(&["1,234", "2,345", "7"]).as_deref(),
        Some(
            "Caviar reads the column as numbers with commas between thousands, such as 1,234.5; \
             every cell also fits numbers with a decimal comma, such as 12,5"
        )
    );
    assert_eq!(
        note(&["1,234", "1.234"]).as_deref(),
        Some(
            "Caviar reads the column as numbers with commas between thousands, such as 1,234.5; \
             every cell also fits numbers with points between thousands, such as 1.234,5"
        )
    );
    assert_eq!(
        note(&["1,234%"]).as_deref(),
        Some(
            "Caviar reads the column as percentages with commas between thousands, such as \
             1,234.5%; every cell also fits percentages with a decimal comma, such as 12,5%"
        )
    );
    for mark in ["/", "-"] {
        let first = format!("01{mark}02{mark}2024");
        assert_eq!(
            note(&[&first]),
            Some(format!(
                "Caviar reads the column as dates such as 12{mark}31{mark}2024 (month first); \
                 every cell also fits dates such as 31{mark}12{mark}2024 (day first)"
            ))
        );
        assert_eq!(note(&[&first, &format!("13{mark}02{mark}2024")]), None);
        assert_eq!(note(&[&first, &format!("02{mark}13{mark}2024")]), None);
    }
    for cells in [
        &["1,234", "1,234,567"][..],
        &["1,234", "1,23"],
        &["1,234", "1 234"],
        &["1", "2"],
        &["1.234"],
        &["1 234"],
        &["01.02.2024"],
        &["2024-01-02"],
        &["yes"],
        &["text"],
        &[],
    ] {
        assert_eq!(note(cells), None, "{cells:?}");
    }
}

#[test]
fn a_cell_that_does_not_fit_says_what_would() {
    let form = column(&["31/12/2024"]).form().unwrap();
    assert_eq!(
        form.parse("12/31/2024").unwrap_err().to_string(),
        "does not fit the form of its column: expected dates such as 31/12/2024 (day first)"
    );
    let form = column(&["yes"]).form().unwrap();
    assert_eq!(
        form.parse("maybe").unwrap_err().to_string(),
        "does not fit the form of its column: expected yes or no"
    );
}

#[test]
fn a_column_without_cells_has_no_form() {
    assert_eq!(Candidates::new().form(), None);
    assert_eq!(Candidates::new().cells(), 0);
}

#[test]
fn every_bit_is_a_form_of_its_own_and_survives_json() {
    let all: Vec<Form> = forms().collect();
    assert_eq!(all.len(), 48);
    for (place, form) in all.iter().enumerate() {
        assert!(!all[..place].contains(form), "{form}");
        let json = serde_json::to_string(form).unwrap();
        assert_eq!(serde_json::from_str::<Form>(&json).unwrap(), *form, "{json}");
    }
    assert_eq!(Form::nth(FORMS), None);
}

#[test]
fn iso_dates_agree_with_the_calendar_for_two_centuries() {
    let form = column(&["1900-01-01"]).form().unwrap();
    let mut date = Date::from_calendar_date(1900, Month::January, 1).unwrap();
    let mut days = -25_567.0;
    while date.year() <= 2100 {
        let text = format!("{}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day());
        assert_eq!(form.parse(&text), Ok(days), "{text}");
        assert_eq!(format_date(days), Some(text));
        date = date.next_day().unwrap();
        days += 1.0;
    }
}

#[test]
fn the_parts_of_a_date_are_its_places_in_year_week_and_day() {
    let parts = |text: &str| {
        let form = column(&[text]).form().unwrap();
        let DateParts { year_fraction, week_fraction, day_fraction } =
            date_parts(form.parse(text).unwrap()).unwrap();
        [year_fraction, week_fraction, day_fraction]
    };
    // 1970 began on a Thursday, and 2024 on a Monday.
    assert_eq!(parts("1970-01-01"), [0.0, 3.0 / 7.0, 0.0]);
    assert_eq!(parts("2024-01-01T06:00"), [0.25 / 366.0, 0.25 / 7.0, 0.25]);
    assert_eq!(parts("2024-12-31T12:00"), [365.5 / 366.0, 1.5 / 7.0, 0.5]);
    assert_eq!(parts("2023-12-31T12:00"), [364.5 / 365.0, 6.5 / 7.0, 0.5]);
    assert_eq!(parts("1969-12-31T18:00"), [364.75 / 365.0, 2.75 / 7.0, 0.75]);
    // Just below 0, the time of day and its sum with the days before round up.
    let DateParts { year_fraction, week_fraction, day_fraction } =
        date_parts(-f64::MIN_POSITIVE).unwrap();
    assert!(year_fraction < 1.0 && week_fraction < 1.0 && day_fraction < 1.0);
    for days in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e7, -1e7, 1e300] {
        assert_eq!(date_parts(days), None, "{days}");
        assert_eq!(format_date(days), None, "{days}");
    }
}

#[test]
fn a_date_is_formatted_with_its_time_if_it_has_one() {
    for (days, text) in [
        (0.0, "1970-01-01"),
        (0.5, "1970-01-01T12:00:00"),
        (HALF_PAST_SIX_PM, "2024-12-31T18:30:00"),
        (-1.0 / 86_400.0, "1969-12-31T23:59:59"),
        (0.25 / 86_400.0, "1970-01-01T00:00:00.250"),
        (1.0 - 1e-12, "1970-01-02"),
        (-719_162.0, "0001-01-01"),
    ] {
        assert_eq!(format_date(days).as_deref(), Some(text));
    }
}

/// Cells that look like numbers, dates and words, and texts near them.
fn cells() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 34] = [
        "1",
        "0",
        "20241231",
        "1.5",
        "-2e-3",
        "1.234",
        "1,234",
        "3,14",
        "1.234,5",
        "1,234.5",
        "1 234",
        "1 234,5",
        "1'234",
        "1\u{a0}234",
        "0,123",
        "1e999",
        "inf",
        "nan",
        "12%",
        "1,234%",
        "true",
        "F",
        "yes",
        "01/02/2024",
        "13/02/2024",
        "02/13/2024",
        "1-2-24",
        "2024-12-31",
        "2024-12-31T10:00Z",
        "1.2.2024",
        "Dec 31, 2024",
        "2024-12",
        "12:30",
        "text",
    ];
    let soup = "0123456789..,,::--// %'+eTZ\u{a0}\u{202f}\u{2019}".chars().collect::<Vec<char>>();
    prop_oneof![
        3 => select(&KNOWN[..]).prop_map(str::to_owned),
        1 => vec(select(soup), 1..12).prop_map(String::from_iter),
    ]
}

/// A number as a convention writes it: with its separators, mark and percent sign.
fn written(value: f64, form: NumberForm) -> String {
    let text = value.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (separator, mark) = match form.decimal {
        DecimalMark::Point => (',', '.'),
        DecimalMark::Comma => ('.', ','),
    };
    let separator = match form.thousands {
        Thousands::None => None,
        Thousands::Mark => Some(separator),
        Thousands::Blank => Some(' '),
        Thousands::Apostrophe => Some('\''),
        Thousands::Quote => Some('\u{2019}'),
        Thousands::NoBreakSpace => Some('\u{a0}'),
        Thousands::NarrowNoBreakSpace => Some('\u{202f}'),
    };
    let mut cell = String::from(if value.is_sign_negative() { "-" } else { "" });
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            cell.extend(separator);
        }
        cell.push(digit);
    }
    if !fraction.is_empty() {
        cell.push(mark);
        cell += fraction;
    }
    cell + if form.percent { "%" } else { "" }
}

/// A date and a time as a form writes them.
fn written_date(form: DateForm, date: Date, [hour, minute, second]: [u8; 3]) -> String {
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (long, time) = (date.month().to_string(), format!("{hour}:{minute:02}:{second:02}"));
    let short = &long[..3];
    let mark = |separator| match separator {
        Separator::Dash => '-',
        Separator::Slash => '/',
        Separator::Point => '.',
        Separator::Blank => ' ',
    };
    match form {
        DateForm::YearMonthDay(separator) => {
            let mark = mark(separator);
            format!("{year:04}{mark}{month:02}{mark}{day:02}T{time}Z")
        }
        DateForm::MonthDayYear(separator) => {
            let mark = mark(separator);
            format!("{month}{mark}{day}{mark}{year:04} {time}")
        }
        DateForm::DayMonthYear(separator) => {
            let mark = mark(separator);
            format!("{day:02}{mark}{month:02}{mark}{year:04} {time}")
        }
        DateForm::DayNameYear(separator) => {
            let mark = mark(separator);
            format!("{day}{mark}{short}{mark}{year:04} {time}")
        }
        DateForm::NameDayYear => format!("{long} {day}, {year:04} {time}"),
        DateForm::YearMonth => format!("{year:04}-{month:02}"),
        DateForm::NameYear => format!("{short} {year:04}"),
        DateForm::NameDashYear => format!("{short}-{year:04}"),
        DateForm::TimeOfDay => time,
    }
}

proptest! {
    /// This is what makes the form independent of the order, and every cell readable in it.
    #[test]
    fn a_form_stays_possible_exactly_if_the_cell_can_be_read_in_it(cell in cells()) {
        let candidates = column(&[&cell]);
        for (bit, form) in forms().enumerate() {
            let is_possible = candidates.possible & (1 << bit) != 0;
            prop_assert_eq!(is_possible, form.parse(&cell).is_ok(), "{:?} as {}", &cell, form);
        }
    }

    #[test]
    fn the_order_of_the_cells_does_not_matter_and_every_cell_can_be_read(
        (cells, shuffled) in vec(cells(), 1..5)
            .prop_flat_map(|cells| (Just(cells.clone()), Just(cells).prop_shuffle())),
    ) {
        let [candidates, other] = [cells, shuffled.clone()]
            .map(|cells| column(&cells.iter().map(String::as_str).collect::<Vec<_>>()));
        prop_assert_eq!(candidates, other);
        if let Some(form) = candidates.form() {
            for cell in &shuffled {
                let value = form.parse(cell);
                prop_assert!(value.is_ok_and(f64::is_finite), "{:?} as {}", cell, form);
            }
        }
    }

    #[test]
    fn any_text_can_be_added(text in any::<String>()) {
        column(&[&text]);
        for form in forms() {
            let _ = form.parse(&text);
        }
    }

    #[test]
    fn numbers_are_read_back_exactly_in_every_convention(
        value in prop_oneof![
            any::<f64>().prop_filter("finite", |value| value.is_finite()),
            -1e9..1e9,
            (-1e9..1e9).prop_map(f64::round),
        ],
    ) {
        for bit in 0..numbers::COUNT {
            let form = NumberForm::nth(bit).unwrap();
            let cell = written(value, form);
            let exponent = if form.percent { "e-2" } else { "" };
            let expected = format!("{value}{exponent}").parse().unwrap();
            prop_assert_eq!(Form::Number(form).parse(&cell), Ok(expected), "{:?}", &cell);
            prop_assert!(column(&[&cell]).form().is_some(), "{:?}", &cell);
        }
    }

    #[test]
    fn dates_are_read_back_exactly_in_every_form(
        julian_day in 1_721_426..5_373_484_i32,
        (hour, minute, second) in (0..24_u8, 0..60_u8, 0..60_u8),
    ) {
        let date = Date::from_julian_day(julian_day).unwrap();
        let seconds = f64::from(hour) * 3600.0 + f64::from(minute) * 60.0 + f64::from(second);
        for form in DateForm::ALL {
            let cell = written_date(form, date, [hour, minute, second]);
            let month = f64::from(julian_day - 2_440_588) - f64::from(date.day()) + 1.0;
            let expected = match form {
                DateForm::YearMonth | DateForm::NameYear | DateForm::NameDashYear => month,
                DateForm::TimeOfDay => seconds / 86_400.0,
                DateForm::YearMonthDay(_)
                | DateForm::MonthDayYear(_)
                | DateForm::DayMonthYear(_)
                | DateForm::DayNameYear(_)
                | DateForm::NameDayYear => f64::from(julian_day - 2_440_588) + seconds / 86_400.0,
            };
            prop_assert_eq!(Form::Date(form).parse(&cell), Ok(expected), "{:?}", &cell);
        }
    }

    #[test]
    fn a_formatted_date_is_read_back_to_the_millisecond(days in -719_162.0..2_932_896.0) {
        let form = Form::Date(DateForm::YearMonthDay(Separator::Dash));
        let read = form.parse(&format_date(days).unwrap()).unwrap();
        prop_assert!((read - days).abs() * 86_400e3 < 0.6, "{} read as {}", days, read);
    }

    #[test]
    fn every_part_of_a_date_is_a_fraction_below_1(
        days in prop_oneof![-719_162.0..2_932_896.0, -1.0..1.0, -1e-16..1e-16],
    ) {
        let DateParts { year_fraction, week_fraction, day_fraction } = date_parts(days).unwrap();
        for fraction in [year_fraction, week_fraction, day_fraction] {
            prop_assert!((0.0..1.0).contains(&fraction), "{days}: {fraction}");
        }
    }
}
