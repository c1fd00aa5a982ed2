//! Claims, tables, and the paper's numbers in them.

use super::*;

#[test]
fn the_papers_numbers_are_of_a_model_and_a_claim_has_its_finding() {
    let recipes = Recipes::new(&[("r", GOOD)]);
    let plan = recipes
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    let table = &plan.tables[0];
    assert_eq!(table.rows[0].paper_model, "m (1B)");
    assert_eq!(
        table.paper_rows[0].values,
        [None, Some(Reported::Range([0.5, 1.0]))]
    );
    let lower = Finding {
        model: "l (7B)".into(),
        difference: None,
        direction: Direction::Lower,
    };
    assert_eq!(
        plan.claims[0].findings,
        [Finding::of("m (1B)".into(), 0.25), lower]
    );
    let one = r#"paper_model = "m (1B)"
paper_difference = -0.1"#;
    let list = GOOD
        .lines()
        .find(|line| line.starts_with("paper_findings"))
        .unwrap();
    let recipes = Recipes::new(&[("r", &GOOD.replace(list, one))]);
    let plan = recipes
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    assert_eq!(
        plan.claims[0].findings,
        [Finding::of("m (1B)".into(), -0.1)]
    );
    for (given, expected) in [
        (
            "paper_model = \"m\"",
            "r.toml:21: claim[0].paper_difference: required: a number in the metric's unit, or paper_direction",
        ),
        (
            "paper_difference = 1\npaper_direction = \"higher\"",
            "r.toml:28: claim[0].paper_direction: paper_difference says it; leave this out",
        ),
        (
            "paper_difference = 1\npaper_findings = []",
            "r.toml:28: claim[0].paper_findings: one finding by paper_difference, or a list by paper_findings",
        ),
        (
            "paper_findings = [{model = \"m\", direction = \"up\"}]",
            "r.toml:27: claim[0].paper_findings[0].direction: expected one of \"higher\", \"lower\", \"same\", found \"up\"",
        ),
    ] {
        assert_eq!(problems(&GOOD.replace(list, given)), [expected]);
    }
    let text = GOOD.replace("values = [\"-\", [0.5, 1]]", "values = [\"-\", [1, 0.5]]");
    assert_eq!(
        problems(&text),
        [
            "r.toml:34: table[0].paper_rows[0].values: expected 2 numbers, [LOW, HIGH] or \"-\" (one a column)"
        ]
    );
}

#[test]
fn rows_of_stages_of_another_profile_are_left_out_with_their_numbers() {
    let text = GOOD
        .replace(
            "[stage.rank]",
            "[stage.other]\nlike = \"rank\"\n[stage.rank]",
        )
        .replace(
            "[profile.sandbox]",
            "[profile.sandbox]\noutputs = [\"rank\", \"other\"]",
        )
        .replace(
            "\nrows = [",
            "\nrows = [{name = \"Other\", stage = \"other\"}, ",
        )
        .replace("paper = [[", "paper = [[1, 2], [");
    let text = format!(
        "{text}[[table]]\ntitle = \"Other\"\nrows = [{{name = \"Other\", stage = \"other\"}}]\n\
         columns = [{{name = \"Hits\", metric = \"hits\"}}]\n"
    );
    let recipes = Recipes::new(&[("r", &text)]);
    let tables = |profile| recipes.plan("r", profile, &[]).unwrap().tables;
    let whole = tables(None);
    assert_eq!(whole.len(), 2);
    assert_eq!(whole[0].rows.len(), 2);
    let part = tables(Some("paper"));
    assert_eq!(part.len(), 1);
    assert_eq!(part[0].rows, whole[0].rows[1..]);
    assert_eq!(part[0].paper, [[Some(38.5.into()), None]]);
    // A claim needs both its sides in every profile.
    let text = text.replace("than = \"rank.random\"", "than = \"other.hits\"");
    let recipes = Recipes::new(&[("r", &text)]);
    let told = recipes.plan("r", Some("paper"), &[]).err().unwrap();
    assert!(
        told[0].ends_with("stage other is not in the plan of this profile; add it to outputs"),
        "{told:?}"
    );
}

#[test]
fn a_column_for_several_numbers_says_so_in_name_and_metric() {
    let told = |column: &str, more: &str| {
        let text = GOOD.replace("{name = \"Hits\", metric = \"hits\"}", column);
        problems(&text.replace("paper = [[38.5, \"-\"]]\n", more))
    };
    assert!(told("{name = \"by *\", metric = \"hits.*\"}", "").is_empty());
    let shape = "r.toml:32: table[0].columns[0].metric: expected one * at the end, after a dot, \
                 and one in name for what it stands for";
    for column in [
        "{name = \"Hits\", metric = \"hits.*\"}",
        "{name = \"*\", metric = \"hits\"}",
        "{name = \"*\", metric = \"*\"}",
        "{name = \"*\", metric = \"*.hits\"}",
    ] {
        assert_eq!(told(column, ""), [shape], "{column}");
    }
    assert_eq!(
        told("{name = \"*\", metric = \"hits.*\"}", "paper = [[1, 2]]\n"),
        ["r.toml:33: table[0].paper: columns with * have no numbers of a paper; write \"-\""]
    );
}
