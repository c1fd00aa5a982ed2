//! Moving weights between a decoder and plain named arrays on the host.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::config::DecoderConfig;
use crate::model::decoder::Decoder;
use crate::model::hf::layout::{Slot, slots};

/// Shape and row-major values of one tensor.
pub type Array = (Vec<usize>, Vec<f32>);

/// Reads every parameter to the host, by its path in the module: for a decoder, the names of [`slots`].
pub fn export<B: Backend, M: Module<B>>(model: &M) -> BTreeMap<String, Array> {
    let mut reader = Reader {
        path: Vec::new(),
        arrays: BTreeMap::new(),
    };
    model.visit(&mut reader);
    reader.arrays
}

/// Reads one parameter's values to the host; nothing where there is none of that name.
pub fn read<B: Backend, M: Module<B>>(model: &M, name: &str) -> Option<Vec<f32>> {
    struct One<'a> {
        path: Vec<String>,
        name: &'a str,
        values: Option<Vec<f32>>,
    }
    impl<B: Backend> ModuleVisitor<B> for One<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            if self.path.join(".") == self.name {
                self.values = Some(host(param.val()));
            }
        }
    }
    let mut one = One {
        path: Vec::new(),
        name,
        values: None,
    };
    model.visit(&mut one);
    one.values
}

/// What a module's parameter is, its values aside.
pub struct Parameter {
    /// Its path in the module.
    pub name: String,
    pub id: ParamId,
    pub shape: Vec<usize>,
    /// Whether it is trained.
    pub tracked: bool,
}

/// Every parameter of a module, in its order.
pub fn parameters<B: Backend, M: Module<B>>(model: &M) -> Vec<Parameter> {
    #[derive(Default)]
    struct Parameters {
        path: Vec<String>,
        found: Vec<Parameter>,
    }
    impl<B: Backend> ModuleVisitor<B> for Parameters {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            self.found.push(Parameter {
                name: self.path.join("."),
                id: param.id,
                shape: param.dims().to_vec(),
                tracked: param.val().is_require_grad(),
            });
        }
    }
    let mut parameters = Parameters::default();
    model.visit(&mut parameters);
    parameters.found
}

/// How many values of a module are trained.
pub fn trained<B: Backend, M: Module<B>>(model: &M) -> usize {
    let trained = parameters(model).into_iter().filter(|it| it.tracked);
    trained.map(|it| it.shape.iter().product::<usize>()).sum()
}

/// A tensor's values on the host, row-major.
pub fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    let values = tensor.into_data().convert::<f32>();
    values.into_vec().expect("converted to f32 just before")
}

/// A decoder with the values that `value` gives for each slot of its configuration, one at a time.
///
/// # Errors
///
/// Whatever `value` fails with, at the first slot for which it does.
pub fn load<B: Backend, E>(
    config: &DecoderConfig,
    device: &B::Device,
    mut value: impl FnMut(&Slot) -> Result<Vec<f32>, E>,
) -> Result<Decoder<B>, E> {
    let value = |slot: &Slot| Ok(TensorData::new(value(slot)?, slot.shape.clone()));
    fill(Decoder::zeros(config, device), true, value)
}

/// As [`load`], into the parameters of `model`, each in the type of what `value` gives for it; `tracked` says whether
/// they are trained.
///
/// # Errors
///
/// Those of [`load`].
pub fn fill<B: Backend, E>(
    model: Decoder<B>,
    tracked: bool,
    value: impl FnMut(&Slot) -> Result<TensorData, E>,
) -> Result<Decoder<B>, E> {
    let slots = slots(&model.config).into_iter();
    let mut loader = Loader {
        tracked,
        path: Vec::new(),
        slots: slots.map(|slot| (slot.name.clone(), slot)).collect(),
        value,
        failed: None,
    };
    let model = model.map(&mut loader);
    match loader.failed {
        Some(error) => Err(error),
        None => Ok(model),
    }
}

/// Replaces the parameters of `model` by arrays under the same names.
///
/// # Panics
///
/// If a parameter has no array of its shape: callers have them from the same module, or by [`slots`].
pub fn assign<B: Backend, M: Module<B>>(model: M, arrays: BTreeMap<String, Array>) -> M {
    let mut writer = Writer {
        path: Vec::new(),
        arrays,
        all: true,
    };
    model.map(&mut writer)
}

/// Replaces those parameters of `model` of which there are arrays, as a run's checkpoint has them of what is trained.
///
/// # Panics
///
/// If an array is of no parameter, or of another shape.
pub fn restore<B: Backend, M: Module<B>>(model: M, arrays: BTreeMap<String, Array>) -> M {
    let mut writer = Writer {
        path: Vec::new(),
        arrays,
        all: false,
    };
    let model = model.map(&mut writer);
    let left = writer.arrays.keys().next();
    assert!(left.is_none(), "no parameter named {left:?}");
    model
}

/// Seeded random weights for training from scratch: normal with standard deviation `range`, norms
/// scaling by one, biases zero; GPT-2 shrinks its residual projections by `1 / sqrt(2 * layers)`.
/// Drawn on the host, so that every backend starts from the same numbers.
pub fn random(config: &DecoderConfig, range: f64, seed: u64) -> BTreeMap<String, Array> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let residual = match config.family.traits().shrunk_residuals {
        true => range / (2.0 * config.layers as f64).sqrt(),
        false => range,
    };
    let unscaled = if config.norm_offset { 0.0 } else { 1.0 };
    slots(config)
        .into_iter()
        .map(|slot| {
            let size = slot.shape.iter().product();
            let values = if slot.shape.len() == 2 {
                let projection =
                    slot.name.ends_with("out.weight") || slot.name.ends_with("down.weight");
                let deviation = if projection { residual } else { range };
                (0..size)
                    .map(|_| (normal(&mut rng) * deviation) as f32)
                    .collect()
            } else if slot.name.ends_with("norm.weight") {
                vec![unscaled; size]
            } else {
                vec![0.0; size]
            };
            (slot.name, (slot.shape, values))
        })
        .collect()
}

/// A standard normal draw (Box and Muller, 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

struct Reader {
    path: Vec<String>,
    arrays: BTreeMap<String, Array>,
}

impl<B: Backend> ModuleVisitor<B> for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let shape = param.dims().to_vec();
        self.arrays
            .insert(self.path.join("."), (shape, host(param.val())));
    }
}

struct Writer {
    path: Vec<String>,
    arrays: BTreeMap<String, Array>,
    /// Whether each parameter must have one.
    all: bool,
}

impl<B: Backend> ModuleMapper<B> for Writer {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.join(".");
        let Some((shape, values)) = self.arrays.remove(&name) else {
            assert!(!self.all, "no array named {name}");
            return param;
        };
        let (id, old, mapper) = param.consume();
        assert_eq!(old.dims().as_slice(), shape, "shape of {name}");
        let new = Tensor::from_data(TensorData::new(values, shape), &old.device());
        Param::from_mapped_value(id, new.set_require_grad(old.is_require_grad()), mapper)
    }
}

struct Loader<F, E> {
    tracked: bool,
    path: Vec<String>,
    /// Those still to come, by name.
    slots: BTreeMap<String, Slot>,
    value: F,
    failed: Option<E>,
}

impl<B: Backend, E, F: FnMut(&Slot) -> Result<TensorData, E>> ModuleMapper<B> for Loader<F, E> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let slot = self.slots.remove(&self.path.join("."));
        let (Some(slot), None) = (slot, &self.failed) else {
            return param;
        };
        let data = match (self.value)(&slot) {
            Ok(data) => data,
            Err(error) => {
                self.failed = Some(error);
                return param;
            }
        };
        let dtype = data.dtype;
        // What is lazy has no values yet: they are never made.
        let new = Tensor::from_data(data, (&param.lazy_device(), dtype));
        Param::initialized(param.id, new.set_require_grad(self.tracked))
    }
}
