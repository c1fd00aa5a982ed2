//! `impression-world`: dialogues that leave impressions, with ratings and known truth.

use anyhow::Result;

use crate::data::Rated;
use crate::stage::artifact::examples::{RowsSettings, write_examples, write_settings};
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::rated_set;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::settings::keys::{Keys, SEED};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::settings::world::{self, MOST, TURNS};
use crate::world::impression::rating::Ceiling;
use crate::world::impression::score::SCALE;
use crate::world::impression::{Impression, ImpressionWorld, is_dull};

pub const KIND: Kind = Kind {
    name: "impression-world",
    about: "generated dialogues that leave twelve impressions, rated by several raters, and prompts to reply to",
    produces: Produces::Rated,
    // 2: the scale lies beside the ratings.
    // 3: prompts say who said what, and no template has written them.
    version: 3,
    uses_backend: false,
    modules: &[],
    read,
};

struct World {
    world: ImpressionWorld,
    by_dialogue: bool,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let default = ImpressionWorld::default();
    let world = ImpressionWorld {
        seed: keys.usize("seed", default.seed as usize, SEED) as u64,
        pretrain: keys.doc("unrated dialogues for a base model").usize(
            "pretrain",
            default.pretrain,
            0..=MOST,
        ),
        train: keys
            .doc("rated dialogues")
            .usize("train", default.train, 1..=MOST),
        valid: keys.usize("valid", default.valid, 1..=MOST),
        test: keys.usize("test", default.test, 1..=MOST),
        prompts: keys
            .doc("dialogues up to a turn of the user, to sample replies to")
            .usize("prompts", default.prompts, 0..=MOST),
        dull: keys
            .doc("rate of dull replies in pretrain")
            .float("dull", default.dull, 0.0..=1.0),
        min_turns: keys.doc("the fewest turns of each side").usize(
            "min_turns",
            default.min_turns,
            2..=TURNS,
        ),
        max_turns: keys.usize("max_turns", default.max_turns, 2..=TURNS),
        systems: keys
            .doc("bots with means of their own, each in every split")
            .usize("systems", default.systems, 1..=MOST),
        pool: keys
            .doc("raters in all")
            .usize("pool", default.pool, 1..=MOST),
        raters: keys
            .doc("raters of one dialogue")
            .usize("raters", default.raters, 1..=1000),
        bias: keys
            .doc("standard deviation of the raters' own offsets")
            .float("bias", default.bias, 0.0..=10.0),
        noise: keys
            .doc("standard deviation of the error of one rating beside them")
            .float("noise", default.noise, 0.0..=10.0),
        missing: keys.doc("rate of scores that are left out").float(
            "missing",
            default.missing,
            0.0..=0.9,
        ),
    };
    world::refuse(keys, world.problems());
    Box::new(World {
        world,
        by_dialogue: Group::read(keys, "none") == Group::Dialogue,
    })
}

impl Stage for World {
    fn run(&self, context: &Context) -> Result<()> {
        let data = self.world.generate()?;
        let mut measures = Measures::default();
        let replies = data.pretrain.iter();
        let dull = replies.map(|it| f64::from(u8::from(is_dull(&it.completions[0].text))));
        let dull: Vec<f64> = dull.collect();
        let share = dull.iter().sum::<f64>() / dull.len().max(1) as f64;
        let numbers = &mut measures.numbers;
        for (name, count) in [
            ("pretrain", self.world.pretrain),
            ("pretrain_examples", dull.len()),
            ("train", data.train.len()),
            ("valid", data.valid.len()),
            ("test", data.test.len()),
            ("prompts", data.prompts.len()),
        ] {
            numbers.insert(name.into(), count as f64);
        }
        numbers.insert("pretrain_dull".into(), share);
        measures.note(format!(
            "{} rated dialogues for training; ceilings and reliabilities are those of the {} for testing",
            data.train.len(),
            data.test.len()
        ));
        ceilings(&data.test, &mut measures);
        for (split, rows) in [
            (Split::Train, data.train),
            (Split::Valid, data.valid),
            (Split::Test, data.test),
        ] {
            rated_set::write(&context.dir, split, rows)?;
        }
        rated_set::write_scale(&context.dir, SCALE, false)?;
        for (split, examples) in [
            (Split::Pretrain, data.pretrain),
            (Split::Prompts, data.prompts),
        ] {
            write_examples(&context.dir, split, examples.into_iter().map(Ok))?;
        }
        write_settings(
            &context.dir,
            RowsSettings {
                shuffle: true,
                by_dialogue: self.by_dialogue,
                by_row: false,
            },
        )?;
        measures.write(&context.dir)
    }
}

/// What the raters can show of each impression's truth.
fn ceilings(rows: &[Rated], measures: &mut Measures) {
    for impression in Impression::ALL {
        let name = impression.name();
        let Some(found) = Ceiling::measure(rows, impression) else {
            measures.note(format!(
                "{name}: no ceiling, for want of dialogues with two ratings that differ"
            ));
            continue;
        };
        for (what, value) in [
            ("ceiling", found.ceiling),
            ("reliability", found.reliability),
            ("truth_mean", found.truth[0]),
            ("truth_sd", found.truth[1]),
        ] {
            measures.numbers.insert(format!("{what}.{name}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::template;
    use crate::stage::artifact::examples::read_examples;
    use crate::stage::artifact::rated_set::RatedSet;
    use crate::store::{Stop, Store};

    #[test]
    fn the_files_are_read_again_and_ceilings_are_measured() {
        let dir = tempfile::tempdir().unwrap();
        let world = ImpressionWorld {
            pretrain: 20,
            train: 30,
            valid: 10,
            test: 60,
            prompts: 15,
            ..Default::default()
        };
        let context = Context {
            dir: dir.path().to_owned(),
            seed: 0,
            backend: String::new(),
            inputs: Default::default(),
            label: "world".into(),
            stop: Stop::new(),
            store: Store::open(dir.path().join("store")).unwrap(),
        };
        let stage = World {
            world: world.clone(),
            by_dialogue: true,
        };
        stage.run(&context).unwrap();
        let data = world.generate().unwrap();
        for (split, rows) in [
            (Split::Train, &data.train),
            (Split::Valid, &data.valid),
            (Split::Test, &data.test),
        ] {
            let read = RatedSet::open(dir.path(), split).unwrap();
            assert_eq!((&read.rows, read.scale), (rows, SCALE));
            assert!(!read.centred);
        }
        let examples = |split| -> Vec<_> {
            let read = read_examples(dir.path(), split).unwrap();
            read.map(Result::unwrap).collect()
        };
        assert_eq!(examples(Split::Pretrain), data.pretrain);
        assert_eq!(examples(Split::Prompts), data.prompts);
        // A rated dialogue reads as the prompts do, up to the reply's opening.
        let text = template::prompt(String::new(), &data.test[0].turns).text();
        assert!(
            text.starts_with("User: ") && text.contains("\nBot: "),
            "{text}"
        );
        let measures = Measures::read(dir.path()).unwrap();
        assert_eq!(measures.numbers["prompts"], 15.0);
        for impression in Impression::ALL {
            let number = |what: &str| measures.numbers[&format!("{what}.{}", impression.name())];
            let (ceiling, reliability) = (number("ceiling"), number("reliability"));
            assert!(reliability < ceiling && ceiling < 1.0, "{impression:?}");
        }
    }
}
