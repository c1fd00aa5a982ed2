use super::*;

fn measures(name: &str, seeds: &[&[f64]]) -> ByStage {
    let runs = seeds.iter().map(|items| {
        let mut measures = Measures::default();
        measures.mean(name, items.to_vec());
        measures
    });
    ByStage::from([("rank".to_owned(), runs.collect())])
}

fn claimed() -> recipe::Claim {
    let metric = |stage: &str| recipe::Metric {
        stage: stage.into(),
        metric: "hits".into(),
    };
    recipe::Claim {
        id: "x".into(),
        statement: String::new(),
        paper: String::new(),
        findings: Vec::new(),
        better: metric("rank"),
        than: metric("base"),
        by: 0.0,
        direction: Default::default(),
    }
}

#[test]
fn seeds_with_unequal_numbers_of_items_are_shown_by_seed_and_their_claim_is_not_measured() {
    let odd = f64::INFINITY;
    for (seeds, why) in [
        (
            [&[1.0, 0.0][..], &[1.0][..]],
            "has 1 items where 2 were expected",
        ),
        ([&[1.0, odd][..], &[1.0, 0.0][..]], "not a finite number"),
    ] {
        let mut found = measures("hits", &seeds);
        let mut lost = Lost::default();
        let metrics = metrics(&found, &mut lost);
        assert_eq!(metrics["rank.hits"].per_seed.len(), 2);
        assert_eq!(metrics["rank.hits"].ci95, None);
        let [note] = &lost.0[..] else {
            panic!("{:?}", lost.0)
        };
        assert!(
            note.starts_with("rank: hits shown by seed") && note.contains(why),
            "{note}"
        );
        let missing = claim(&claimed(), &found, &metrics);
        assert_eq!(missing.reason.as_deref(), Some("base was not finished"));
        found.insert("base".into(), found["rank"].clone());
        let result = claim(&claimed(), &found, &metrics);
        assert_eq!(result.verdict(), "not measured");
        assert!(result.reason.is_some_and(|reason| reason.contains(why)));
    }
}

#[test]
fn the_papers_numbers_stand_in_the_columns_that_they_are_of() {
    let column = |name: &str, metric: &str| recipe::Column {
        name: name.into(),
        metric: metric.into(),
    };
    let declared = recipe::Table {
        title: String::new(),
        rows: vec![recipe::Row {
            name: "SFT".into(),
            stage: "rank".into(),
            paper_model: "theirs (7B)".into(),
        }],
        columns: vec![column("*", "by.*"), column("Hits", "hits")],
        paper: vec![vec![None, Some(14.8.into())]],
        paper_rows: vec![recipe::PaperRow {
            name: "SFT".into(),
            model: "other (1B)".into(),
            values: vec![None, Some(Reported::Range([1.0, 2.0]))],
        }],
    };
    let metrics = ["rank.by.a", "rank.by.b", "rank.hits"].map(|name| {
        (
            name.to_owned(),
            MetricSummary::of_seeds(vec![0.5], Unit::Share),
        )
    });
    let table = table(
        &declared,
        |stage| format!("{stage}'s (1M)"),
        &metrics.into(),
    );
    let names: Vec<&str> = table.columns.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["a", "b", "Hits"]);
    let [ours, alone] = &table.rows[..] else {
        panic!("{:?}", table.rows)
    };
    assert_eq!(ours.paper, [None, None, Some(14.8.into())]);
    assert_eq!(
        (&*ours.model, &*ours.paper_model),
        ("rank's (1M)", "theirs (7B)")
    );
    assert_eq!(alone.name, "SFT, the paper's other (1B)");
    assert_eq!((&alone.cells, &*alone.model), (&vec![None; 3], ""));
    assert_eq!(alone.paper[2], Some(Reported::Range([1.0, 2.0])));
}
