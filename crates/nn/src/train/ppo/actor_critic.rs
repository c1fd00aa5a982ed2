//! A policy with a value head.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Tensor, backend::Backend};

use crate::model::Decoder;
use crate::model::forest::Forest;
use crate::ops::Ops;

/// What is trained: a policy, and, where the algorithm has values, what estimates them.
#[derive(Module, Debug)]
pub struct ActorCritic<B: Backend> {
    pub policy: Decoder<B>,
    pub value: Option<ValueHead<B>>,
}

/// A linear map from final hidden states to values.
#[derive(Module, Debug)]
pub struct ValueHead<B: Backend> {
    /// The decoder whose hidden states are read; the policy's own where there is none.
    pub trunk: Option<Decoder<B>>,
    /// `[1, hidden]`
    pub weight: Param<Tensor<B, 2>>,
    /// `[1]`
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> ValueHead<B> {
    /// A head that says 0 of every state, so that training starts without made-up baselines.
    pub fn zeros(trunk: Option<Decoder<B>>, hidden: usize, device: &B::Device) -> Self {
        let weight = Tensor::zeros([1, hidden], device).require_grad();
        let bias = Tensor::zeros([1], device).require_grad();
        Self {
            trunk,
            weight: Param::initialized(ParamId::new(), weight),
            bias: Param::initialized(ParamId::new(), bias),
        }
    }
}

/// What a forest's scored tokens are read from; the value of a state is that of the token about to come.
pub struct States<B: Backend> {
    /// Hidden states that the output head turns into logits at the sampling temperature, `[scored, hidden]`.
    pub tempered: Tensor<B, 2>,
    /// Log-probs of the scored tokens at that temperature, `[scored]`.
    pub logps: Tensor<B, 1>,
    /// Values of the states before them, `[scored]`.
    pub values: Option<Tensor<B, 1>>,
}

impl<B: Backend> ActorCritic<B> {
    /// As [`Decoder::dropped`], of the policy and the value head's own trunk.
    pub fn dropped(&self, seed: u64) -> Option<Self> {
        let policy = self.policy.dropped(seed)?;
        let mut value = self.value.clone();
        if let Some(trunk) = value.as_mut().and_then(|head| head.trunk.as_mut())
            && let Some(dropped) = trunk.dropped(!seed)
        {
            *trunk = dropped;
        }
        Some(Self { policy, value })
    }
}

impl<B: Ops> ActorCritic<B> {
    /// The decoders whose hidden states are read: the policy, then the value head's own, where it has one.
    pub fn decoders(&self) -> Vec<&Decoder<B>> {
        let trunk = self.value.as_ref().and_then(|head| head.trunk.as_ref());
        std::iter::once(&self.policy).chain(trunk).collect()
    }

    /// Reads a forest at a sampling temperature.
    pub fn read(&self, forest: &Forest, temperature: f64) -> States<B> {
        let decoders = self.decoders().into_iter();
        let hidden = decoders.map(|decoder| decoder.scored_hidden(forest));
        self.states(hidden.collect(), forest, temperature)
    }

    /// [`read`](Self::read) from the final hidden states of each of the [`decoders`](Self::decoders),
    /// `[scored, hidden]`.
    pub fn states(
        &self,
        hidden: Vec<Tensor<B, 2>>,
        forest: &Forest,
        temperature: f64,
    ) -> States<B> {
        let mut hidden = hidden.into_iter();
        let policy = hidden.next().expect("the policy is read");
        let own = hidden.next();
        let values = self.value.as_ref().map(|head| {
            let states = own.unwrap_or_else(|| policy.clone());
            let values = states.matmul(head.weight.val().transpose());
            values.squeeze_dim::<1>(1) + head.bias.val()
        });
        let tempered = at_temperature(policy, temperature);
        States {
            logps: self
                .policy
                .scored_logps(tempered.clone(), forest, temperature),
            tempered,
            values,
        }
    }
}

/// Log-probs of a forest's scored tokens at a sampling temperature, `[scored]`.
pub fn token_logps<B: Ops>(model: &Decoder<B>, forest: &Forest, temperature: f64) -> Tensor<B, 1> {
    let hidden = at_temperature(model.scored_hidden(forest), temperature);
    model.scored_logps(hidden, forest, temperature)
}

/// Logits are linear in hidden states, so dividing these divides those.
fn at_temperature<B: Backend>(hidden: Tensor<B, 2>, temperature: f64) -> Tensor<B, 2> {
    if temperature == 1.0 {
        hidden
    } else {
        hidden.div_scalar(temperature)
    }
}
