//! One decoder for GPT-2, Llama, Mistral and Qwen2, read top to bottom.
//!
//! The families differ only in what [`DecoderConfig`] says: LayerNorm or RMSNorm, learned or rotary
//! positions, GELU or SwiGLU, biases, grouped-query attention, a sliding window, a tied head.
//! Reference: transformers' `modeling_{gpt2,llama,mistral,qwen2}.py`.

use std::sync::Arc;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};

use crate::model::config::{Activation, DecoderConfig, Norm as NormKind, Positions, ScoreHead};
use crate::model::forest::Forest;
use crate::model::linear::Linear;
pub use crate::model::precision::Precision;
use crate::ops::{Angles, Ops, TreeView};

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

/// Attention and feed-forward, each behind a norm and a residual.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    attn_norm: Norm<B>,
    /// Queries, keys and values side by side: `[hidden, (heads + 2 * kv_heads) * head_dim]`.
    qkv: Linear<B>,
    out: Linear<B>,
    mlp_norm: Norm<B>,
    /// GPT-2: `[hidden, intermediate]`; SwiGLU: gate and up side by side.
    up: Linear<B>,
    down: Linear<B>,
}

/// LayerNorm where there is a bias, else RMSNorm.
#[derive(Module, Debug)]
pub struct Norm<B: Backend> {
    weight: Param<Tensor<B, 1>>,
    bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Ops> Norm<B> {
    fn forward(&self, x: Tensor<B, 3>, eps: f64) -> Tensor<B, 3> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        B::norm(x, self.weight.val(), bias, eps)
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
        let normed = self.attn_norm.forward(x, config.norm_eps);
        self.qkv.forward(normed, precision)
    }

    /// The block's output from its input and what that attended to; token by token.
    fn finish(
        &self,
        x: Tensor<B, 3>,
        attended: Tensor<B, 3>,
        config: &DecoderConfig,
        precision: Precision,
    ) -> Tensor<B, 3> {
        let x = x + precision.raise(self.out.forward(attended, precision));
        let normed = self.mlp_norm.forward(x.clone(), config.norm_eps);
        let up = self.up.forward(normed, precision);
        let activated = B::activate(up, config.activation);
        x + precision.raise(self.down.forward(activated, precision))
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
        let norm = || Norm {
            weight: vector(hidden),
            bias: (config.norm == NormKind::Layer).then(|| vector(hidden)),
        };
        let up = match config.activation {
            Activation::SwiGlu => 2 * inner,
            Activation::Gelu | Activation::GeluTanh => inner,
        };
        let attended = config.heads * config.head_dim;
        let qkv = (config.heads + 2 * config.kv_heads) * config.head_dim;
        Self {
            embed: matrix([config.vocab_size, hidden]),
            positions: matches!(config.positions, Positions::Learned)
                .then(|| matrix([config.max_positions, hidden])),
            blocks: (0..config.layers)
                .map(|_| Block {
                    attn_norm: norm(),
                    qkv: linear(hidden, qkv, config.qkv_bias),
                    out: linear(attended, hidden, config.out_bias),
                    mlp_norm: norm(),
                    up: linear(hidden, up, config.mlp_bias),
                    down: linear(inner, hidden, config.mlp_bias),
                })
                .collect(),
            norm: norm(),
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
            self.head = self.head.map(|head| head.map(|head| precision.lower(head)));
            if self.config.tied && self.embed.val().dtype() != DType::F32 {
                let head = precision.lower(self.head());
                self.head = Some(Param::initialized(ParamId::new(), head));
            }
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
        let view = self.view(forest);
        let attend = |_, qkv| B::tree_attention(qkv, &view);
        self.hidden(&forest.tokens, &forest.position, forest.rows, None, attend)
    }

    /// Final hidden states of the parents of a forest's scored tokens, `[scored, hidden]`; a forest that scores
    /// nothing is not computed.
    pub fn scored_hidden(&self, forest: &Forest) -> Tensor<B, 2> {
        if forest.scored.is_empty() {
            return Tensor::zeros([0, self.config.hidden_size], &self.embed.val().device());
        }
        let (view, parents) = (self.view(forest), parents(forest));
        let attend = |_, qkv| B::tree_attention(qkv, &view);
        let (tokens, position) = (&forest.tokens, &forest.position);
        self.hidden(tokens, position, forest.rows, Some(&parents), attend)
            .squeeze_dim(0)
    }

    /// What a forest's attention reads besides queries, keys and values.
    pub fn view(&self, forest: &Forest) -> Arc<TreeView> {
        Arc::new(self.tree_view(&forest.position, &forest.end, forest.rows))
    }

    /// What attention over trees reads, for this decoder; see [`TreeView`] for the shapes.
    pub fn tree_view(&self, position: &[u32], end: &[u32], rows: usize) -> TreeView {
        let config = &self.config;
        let positions = position.iter().max().map_or(0, |&last| last as usize + 1);
        TreeView {
            rows,
            width: position.len() / rows,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            position: position.to_vec(),
            end: end.to_vec(),
            window: config.sliding_window,
            angles: self.angles(positions),
        }
    }

    /// What goes into the first block, `[rows, width, hidden]`.
    pub fn enter(&self, forest: &Forest) -> Tensor<B, 3> {
        self.embedded(&forest.tokens, &forest.position, forest.rows)
    }

    /// One block, `[rows, width, hidden]` to the same.
    pub fn block(&self, index: usize, x: Tensor<B, 3>, view: &Arc<TreeView>) -> Tensor<B, 3> {
        let attend = |_, qkv| B::tree_attention(qkv, view);
        self.through(index, x, None, attend)
    }

    /// The last block and the final norm, after attention for the tokens that are read alone:
    /// `[rows, width, hidden]` to `[scored, hidden]`.
    pub fn read(&self, x: Tensor<B, 3>, forest: &Forest, view: &Arc<TreeView>) -> Tensor<B, 2> {
        let attend = |_, qkv| B::tree_attention(qkv, view);
        let x = self.through(self.blocks.len() - 1, x, Some(&parents(forest)), attend);
        self.norm.forward(x, self.config.norm_eps).squeeze_dim(0)
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
        self.norm.forward(x, self.config.norm_eps)
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

    /// Log-probability of each target from the hidden state before it.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[scored, hidden]`; output: `[scored]`
    pub fn target_logps(&self, hidden: Tensor<B, 2>, targets: &[u32]) -> Tensor<B, 1> {
        let [hidden, head] = [hidden, self.head()].map(|x| self.compute.precision.lower(x));
        B::token_logps(hidden, head, targets)
    }

    /// Logits of the token after each hidden state, on the host, in place of what `into` held.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[tokens, hidden]`; `into`: `[tokens, vocabulary]`
    pub fn logits(&self, hidden: Tensor<B, 2>, into: &mut Vec<f32>) {
        let [hidden, head] = [hidden, self.head()].map(|x| self.compute.precision.lower(x));
        B::logits(hidden, head, into);
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
        match &self.positions {
            Some(table) => x + rows_of(table, positions),
            None => x,
        }
    }

    /// Rotary angles of positions below `positions`; none with learned positions.
    pub fn angles(&self, positions: usize) -> Option<Angles> {
        let frequencies = self.config.positions.frequencies(self.config.head_dim)?;
        Some(Angles::new(&frequencies, positions))
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
