//! Rules that stand in Rust, in SQL and in the page are the same ones.

use model::Step;

const PAGE: &str = include_str!("../../crates/api/dashboard/time.js");
const SQL: &str = include_str!("../../schema/central/cut.sql");

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, text) = text.split_once(before).unwrap();
    text.split_once(after).unwrap().0
}

#[test]
fn the_page_offers_the_steps_of_the_api() {
    let listed = between(PAGE, "STEPS = [", "];");
    let listed: String = listed.split_whitespace().collect();
    let steps = Step::ALL.map(|step| {
        let seconds = step.seconds().to_string();
        (step.as_str().to_owned(), seconds)
    });
    let offered: Vec<(String, String)> = listed
        .split("],")
        .filter_map(|pair| pair.trim_matches(['[', ']', ',']).split_once(','))
        .map(|(step, seconds)| (step.trim_matches('"').to_owned(), seconds.replace('_', "")))
        .collect();
    assert_eq!(offered, steps);
}

#[test]
fn the_procedures_take_the_steps_of_the_api() {
    let cases = between(SQL, "CASE step", "END;");
    let words: Vec<&str> = cases.split_whitespace().collect();
    let taken: Vec<(&str, &str)> = words
        .chunks(4)
        .map(|words| match words {
            ["WHEN", step, "THEN", width] => (step.trim_matches('\''), *width),
            other => panic!("{other:?}"),
        })
        .collect();
    // Months have no width; their unit is another.
    let width = |step: Step| match step {
        Step::Month => "1".to_owned(),
        step => (step.seconds() / 60).to_string(),
    };
    let steps = Step::ALL.map(|step| (step.as_str(), width(step)));
    assert_eq!(
        taken,
        steps.each_ref().map(|(step, width)| (*step, width.as_str()))
    );
    let sentence = between(SQL, "is no step: take one of ", "'");
    assert_eq!(sentence, Step::ALL.map(Step::as_str).join(" "));
}
