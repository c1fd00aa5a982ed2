//! One decoder for all families, read top to bottom.
//!
//! They differ only in what [`DecoderConfig`] says: which norms stand where, learned or rotary positions, GELU or a
//! gate, biases, grouped-query attention, windows, soft caps, a tied head.
//! Reference: transformers' `modeling_{gpt2,llama,qwen3,gemma3,...}.py`.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::model::config::{DecoderConfig, Norm as NormKind, Positions, ScoreHead};
use crate::model::forest::Forest;
use crate::model::linear::Linear;
pub use crate::model::precision::Precision;
use crate::model::views::TreeViews;
use crate::ops::Ops;

/// A decoder-only language model.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// Token embeddings, `[vocabulary, hidden]`.
    pub embed: Param<Tensor<B, 2>>,
    /// Learned positions, `[max_positions, hidden]`; absent with rotary ones.
    pub positions: Option<Param<Tensor<B, 2>>>,
    /// The transformer blocks, first to last.
    pub blocks: Vec<Block<B>>,
    /// The final norm.
    pub norm: Norm<B>,
    /// Output head, `[vocabulary, hidden]`, or `[scores, hidden]` where it scores whole sequences; absent
    /// where it is tied to `embed`.
    pub head: Option<Param<Tensor<B, 2>>>,
    /// What this decoder is.
    #[module(skip)]
    pub config: DecoderConfig,
    /// How it is computed; no part of what is saved.
    #[module(skip)]
    pub compute: Compute,
}

/// How a decoder is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compute {
    pub precision: Precision,
    /// Keep only each block's input for backward, and compute the block again there (Chen et al.,
    /// arXiv 1604.06174).
    pub recompute: bool,
}

/// Attention and feed-forward, each with a residual, and a norm ahead of it, behind it, or both.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    attn_norm: Option<Norm<B>>,
    /// Queries, keys and values side by side: `[hidden, (heads + 2 * kv_heads) * head_dim]`.
    qkv: Linear<B>,
    /// Of each head of queries, or of all together.
    q_norm: Option<Norm<B>>,
    k_norm: Option<Norm<B>>,
    out: Linear<B>,
    attn_post_norm: Option<Norm<B>>,
    mlp_norm: Option<Norm<B>>,
    /// `[hidden, intermediate]`, or where there is a gate, gate and up side by side.
    up: Linear<B>,
    down: Linear<B>,
    mlp_post_norm: Option<Norm<B>>,
}

/// LayerNorm where there is a bias, else RMSNorm.
#[derive(Module, Debug)]
pub struct Norm<B: Backend> {
    weight: Param<Tensor<B, 1>>,
    bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Ops> Norm<B> {
    fn forward(&self, x: Tensor<B, 3>, config: &DecoderConfig) -> Tensor<B, 3> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        let weight = match config.norm_offset {
            true => self.weight.val().add_scalar(1.0),
            false => self.weight.val(),
        };
        B::norm(x, weight, bias, config.norm_eps)
    }
}

/// What a norm makes of `x`, where there is one.
fn normed<B: Ops>(norm: &Option<Norm<B>>, x: Tensor<B, 3>, config: &DecoderConfig) -> Tensor<B, 3> {
    match norm {
        Some(norm) => norm.forward(x, config),
        None => x,
    }
}

impl<B: Backend> Block<B> {
    /// Its linear maps, by name.
    pub fn linears(&mut self) -> [(&'static str, &mut Linear<B>); 4] {
        [
            ("qkv", &mut self.qkv),
            ("out", &mut self.out),
            ("up", &mut self.up),
            ("down", &mut self.down),
        ]
    }
}

impl<B: Ops> Block<B> {
    /// Queries, keys and values side by side, from the block's input `[rows, width, hidden]`.
    fn qkv(&self, x: Tensor<B, 3>, config: &DecoderConfig, precision: Precision) -> Tensor<B, 3> {
        let x = normed(&self.attn_norm, x, config);
        let qkv = self.qkv.forward(x, precision);
        let (Some(q_norm), Some(k_norm), Some([q_over, k_over])) =
            (&self.q_norm, &self.k_norm, config.qk_norm_sizes())
        else {
            return qkv;
        };
        let [rows, width, _] = qkv.dims();
        let size = config.head_dim;
        let share = |start: usize, heads: usize, norm: Option<(&Norm<B>, usize)>| {
            let share = qkv.clone().narrow(2, start * size, heads * size);
            let Some((norm, over)) = norm else {
                return share;
            };
            let apart = precision.raise(share).reshape([1, -1, over as i32]);
            let share = precision.lower(norm.forward(apart, config));
            share.reshape([rows, width, heads * size])
        };
        let (heads, kv_heads) = (config.heads, config.kv_heads);
        let parts = [
            share(0, heads, Some((q_norm, q_over))),
            share(heads, kv_heads, Some((k_norm, k_over))),
            share(heads + kv_heads, kv_heads, None),
        ];
        Tensor::cat(parts.into(), 2)
    }

    /// The block's output from its input and what that attended to; token by token.
    fn finish(
        &self,
        x: Tensor<B, 3>,
        attended: Tensor<B, 3>,
        config: &DecoderConfig,
        precision: Precision,
    ) -> Tensor<B, 3> {
        let attended = precision.raise(self.out.forward(attended, precision));
        let attended = normed(&self.attn_post_norm, attended, config);
        let (x, read) = match config.parallel {
            true => (x.clone() + attended, x),
            false => {
                let x = x + attended;
                (x.clone(), x)
            }
        };
        let up = self
            .up
            .forward(normed(&self.mlp_norm, read, config), precision);
        let activated = B::activate(up, config.activation);
        let down = precision.raise(self.down.forward(activated, precision));
        x + normed(&self.mlp_post_norm, down, config)
    }
}

impl<B: Backend> Decoder<B> {
    /// A decoder of the right shape whose weights are all zero; fill it with
    /// [`load`](crate::model::weights::load).
    pub fn zeros(config: &DecoderConfig, device: &B::Device) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let matrix = |shape: [usize; 2]| parameter(shape, device);
        let vector = |size: usize| parameter([size], device);
        let linear = |input: usize, output: usize, bias: bool| {
            Linear::new(matrix([input, output]), bias.then(|| vector(output)))
        };
        let norm = |size: usize| Norm {
            weight: vector(size),
            bias: (config.norm == NormKind::Layer).then(|| vector(size)),
        };
        let [before, after] = [config.norms.before(), config.norms.after()];
        let norm_if = |there: bool| there.then(|| norm(hidden));
        let attended = config.heads * config.head_dim;
        Self {
            embed: matrix([config.vocab_size, hidden]),
            positions: matches!(config.positions, Positions::Learned)
                .then(|| matrix([config.max_positions, hidden])),
            blocks: (0..config.layers)
                .map(|_| {
                    let [q_norm, k_norm] = match config.qk_norm_sizes() {
                        Some(sizes) => sizes.map(|size| Some(norm(size))),
                        None => [None, None],
                    };
                    Block {
                        attn_norm: norm_if(before),
                        qkv: linear(hidden, config.qkv_size(), config.qkv_bias),
                        q_norm,
                        k_norm,
                        out: linear(attended, hidden, config.out_bias),
                        attn_post_norm: norm_if(after),
                        mlp_norm: norm_if(before),
                        up: linear(hidden, config.up_size(), config.mlp_bias),
                        down: linear(inner, hidden, config.mlp_bias),
                        mlp_post_norm: norm_if(after),
                    }
                })
                .collect(),
            norm: norm(hidden),
            head: (!config.tied).then(|| matrix([config.head_rows(), hidden])),
            config: config.clone(),
            compute: Compute::default(),
        }
    }

    /// The same trunk with a head that scores sequences. It starts at zero: the first score of every sequence
    /// is the head's centre.
    pub fn with_score(self, head: ScoreHead) -> Self {
        let shape = [head.labels.len(), self.config.hidden_size];
        let zeros = Tensor::<B, 2>::zeros(shape, &self.embed.val().device()).require_grad();
        Self {
            head: Some(Param::initialized(ParamId::new(), zeros)),
            config: self.config.with_score(head),
            ..self
        }
    }

    /// The same decoder for inference alone, computed in `precision`: the weights of matrix products are brought
    /// into it once, where training, which keeps them in f32, does so at each pass.
    pub fn frozen(mut self, precision: Precision) -> Self {
        self.compute = Compute {
            precision,
            recompute: false,
        };
        if precision == Precision::F32 {
            return self;
        }
        let lower = |linear: Linear<B>| linear.lowered(precision);
        self.blocks = self
            .blocks
            .into_iter()
            .map(|block| Block {
                qkv: lower(block.qkv),
                out: lower(block.out),
                up: lower(block.up),
                down: lower(block.down),
                ..block
            })
            .collect();
        // A tied head is a copy: embeddings are read as they are.
        if self.config.score.is_none() {
            let head = precision.lower(self.head());
            self.head = Some(Param::initialized(ParamId::new(), head));
        }
        self
    }

    /// The output head, `[vocabulary, hidden]` or `[scores, hidden]`.
    pub fn head(&self) -> Tensor<B, 2> {
        self.head.as_ref().unwrap_or(&self.embed).val()
    }
}

impl<B: Ops> Decoder<B> {
    /// Final hidden states of every token of a forest, `[rows, width, hidden]`.
    pub fn forest_hidden(&self, forest: &Forest) -> Tensor<B, 3> {
        let views = TreeViews::of_forest(&self.config, forest);
        let attend = |layer, qkv| B::tree_attention(qkv, views.of(layer));
        self.hidden(&forest.tokens, &forest.position, forest.rows, None, attend)
    }

    /// Final hidden states of the parents of a forest's scored tokens, `[scored, hidden]`; a forest that scores
    /// nothing is not computed.
    pub fn scored_hidden(&self, forest: &Forest) -> Tensor<B, 2> {
        if forest.scored.is_empty() {
            return Tensor::zeros([0, self.config.hidden_size], &self.embed.val().device());
        }
        let views = TreeViews::of_forest(&self.config, forest);
        let parents = parents(forest);
        let attend = |layer, qkv| B::tree_attention(qkv, views.of(layer));
        let (tokens, position) = (&forest.tokens, &forest.position);
        self.hidden(tokens, position, forest.rows, Some(&parents), attend)
            .squeeze_dim(0)
    }

    /// What goes into the first block, `[rows, width, hidden]`.
    pub fn enter(&self, forest: &Forest) -> Tensor<B, 3> {
        self.embedded(&forest.tokens, &forest.position, forest.rows)
    }

    /// One block, `[rows, width, hidden]` to the same.
    pub fn block(&self, index: usize, x: Tensor<B, 3>, views: &TreeViews) -> Tensor<B, 3> {
        let attend = |layer, qkv| B::tree_attention(qkv, views.of(layer));
        self.through(index, x, None, attend)
    }

    /// The last block and the final norm, after attention for the tokens that are read alone:
    /// `[rows, width, hidden]` to `[scored, hidden]`.
    pub fn read(&self, x: Tensor<B, 3>, forest: &Forest, views: &TreeViews) -> Tensor<B, 2> {
        let attend = |layer, qkv| B::tree_attention(qkv, views.of(layer));
        let x = self.through(self.blocks.len() - 1, x, Some(&parents(forest)), attend);
        self.norm.forward(x, &self.config).squeeze_dim(0)
    }

    /// Final hidden states, where `attend` turns a block's index and its fused queries, keys and
    /// values into what is attended to. With `wanted`, a choice of cells `row * width + column`,
    /// the last block goes on from its attention with these alone.
    ///
    /// # Shapes
    ///
    /// - `tokens`, `position`: `[rows * width]`
    /// - `attend`: `[rows, width, (heads + 2 * kv_heads) * head_dim]` to
    ///   `[rows, width, heads * head_dim]`
    /// - output: `[rows, width, hidden]`, or `[1, wanted, hidden]`
    pub fn hidden(
        &self,
        tokens: &[u32],
        position: &[u32],
        rows: usize,
        wanted: Option<&[u32]>,
        mut attend: impl FnMut(usize, Tensor<B, 3>) -> Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let mut x = self.embedded(tokens, position, rows);
        for index in 0..self.blocks.len() {
            let wanted = wanted.filter(|_| index + 1 == self.blocks.len());
            x = self.through(index, x, wanted, &mut attend);
        }
        self.norm.forward(x, &self.config)
    }

    /// One block, from its attention on for the `wanted` cells alone.
    fn through(
        &self,
        index: usize,
        x: Tensor<B, 3>,
        wanted: Option<&[u32]>,
        mut attend: impl FnMut(usize, Tensor<B, 3>) -> Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let (block, config) = (&self.blocks[index], &self.config);
        let precision = self.compute.precision;
        let attended = attend(index, block.qkv(x.clone(), config, precision));
        let [x, attended] = match wanted {
            Some(cells) => [x, attended].map(|x| {
                let [rows, width, size] = x.dims();
                B::embed(x.reshape([rows * width, size]), cells).unsqueeze()
            }),
            None => [x, attended],
        };
        block.finish(x, attended, config, precision)
    }

    /// Log-probability of each target from the hidden state before it, which was divided by a sampling temperature.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[scored, hidden]`; output: `[scored]`
    pub fn target_logps(
        &self,
        hidden: Tensor<B, 2>,
        targets: &[u32],
        temperature: f64,
    ) -> Tensor<B, 1> {
        let [hidden, head] = [hidden, self.head()].map(|x| self.compute.precision.lower(x));
        B::token_logps(hidden, head, targets, self.soft_cap(temperature))
    }

    /// The cap on logits of hidden states that were divided by a sampling temperature: as capping comes first,
    /// `cap * tanh(x / cap) / t = (cap / t) * tanh((x / t) / (cap / t))`.
    pub fn soft_cap(&self, temperature: f64) -> Option<f32> {
        let cap = self.config.final_soft_cap;
        cap.map(|cap| (cap / temperature) as f32)
    }

    /// Logits of the token after each hidden state, on the host, in place of what `into` held.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[tokens, hidden]`; `into`: `[tokens, vocabulary]`
    pub fn logits(&self, hidden: Tensor<B, 2>, into: &mut Vec<f32>) {
        let [hidden, head] = [hidden, self.head()].map(|x| self.compute.precision.lower(x));
        B::logits(hidden, head, self.soft_cap(1.0), into);
    }

    /// Embedded tokens, `[rows, width, hidden]`.
    fn embedded(&self, tokens: &[u32], positions: &[u32], rows: usize) -> Tensor<B, 3> {
        let shape = [rows, tokens.len() / rows, self.config.hidden_size];
        let rows_of = |table: &Param<Tensor<B, 2>>, indices: &[u32]| {
            Precision::F32
                .lower(B::embed(table.val(), indices))
                .reshape(shape)
        };
        let x = rows_of(&self.embed, tokens);
        let x = match self.config.embedding_scale() {
            Some(scale) => x.mul_scalar(scale),
            None => x,
        };
        match &self.positions {
            Some(table) => x + rows_of(table, positions),
            None => x,
        }
    }
}

/// A trained parameter of zeros, which are not made before they are read.
fn parameter<B: Backend, const D: usize>(
    shape: [usize; D],
    device: &B::Device,
) -> Param<Tensor<B, D>> {
    let zeros =
        move |device: &B::Device, tracked| Tensor::zeros(shape, device).set_require_grad(tracked);
    Param::uninitialized(ParamId::new(), zeros, device.clone(), true, shape.into())
}

/// Where the hidden states lie that a forest's scored tokens are read from.
fn parents(forest: &Forest) -> Vec<u32> {
    forest.scored.iter().map(|s| s.parent as u32).collect()
}

/// A rank-one integer tensor.
pub fn int_tensor<B: Backend>(values: Vec<i32>, device: &B::Device) -> Tensor<B, 1, Int> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
