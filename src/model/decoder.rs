//! One decoder for GPT-2, Llama, Mistral and Qwen2, read top to bottom.
//!
//! The families differ only in what [`DecoderConfig`] says: LayerNorm or RMSNorm, learned or rotary
//! positions, GELU or SwiGLU, biases, grouped-query attention, a sliding window, a tied head.
//! Reference: transformers' `modeling_{gpt2,llama,mistral,qwen2}.py`.

use std::sync::Arc;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{
    Int, Tensor, TensorData,
    activation::{gelu, gelu_approximate},
    backend::Backend,
};

use crate::model::config::{Activation, DecoderConfig, Norm as NormKind, Positions};
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
    /// Output head, `[vocabulary, hidden]`; absent where it is tied to `embed`.
    pub head: Option<Param<Tensor<B, 2>>>,
    /// What this decoder is.
    #[module(skip)]
    pub config: DecoderConfig,
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

/// An affine map; the weight is `[in, out]`.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    weight: Param<Tensor<B, 2>>,
    bias: Option<Param<Tensor<B, 1>>>,
}

/// LayerNorm where there is a bias, else RMSNorm.
#[derive(Module, Debug)]
pub struct Norm<B: Backend> {
    weight: Param<Tensor<B, 1>>,
    bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Backend> Linear<B> {
    fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [rows, width, features] = x.dims();
        let y = x
            .reshape([rows * width, features])
            .matmul(self.weight.val());
        let y = match &self.bias {
            Some(bias) => y.add(bias.val().unsqueeze()),
            None => y,
        };
        let features = y.dims()[1];
        y.reshape([rows, width, features])
    }
}

impl<B: Ops> Norm<B> {
    fn forward(&self, x: Tensor<B, 3>, eps: f64) -> Tensor<B, 3> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        B::norm(x, self.weight.val(), bias, eps)
    }
}

impl<B: Ops> Block<B> {
    /// Queries, keys and values side by side, from the block's input `[rows, width, hidden]`.
    fn qkv(&self, x: Tensor<B, 3>, config: &DecoderConfig) -> Tensor<B, 3> {
        self.qkv.forward(self.attn_norm.forward(x, config.norm_eps))
    }

    /// The block's output, from its input and what its attention gave.
    fn finish(
        &self,
        x: Tensor<B, 3>,
        attended: Tensor<B, 3>,
        config: &DecoderConfig,
    ) -> Tensor<B, 3> {
        let x = x + self.out.forward(attended);
        let up = self
            .up
            .forward(self.mlp_norm.forward(x.clone(), config.norm_eps));
        let activated = match config.activation {
            Activation::SwiGlu => B::swiglu(up),
            Activation::Gelu => gelu(up),
            Activation::GeluTanh => gelu_approximate(up),
        };
        x + self.down.forward(activated)
    }
}

impl<B: Backend> Decoder<B> {
    /// A decoder of the right shape whose weights are all zero; fill it with
    /// [`load`](crate::model::weights::load).
    pub fn zeros(config: &DecoderConfig, device: &B::Device) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let matrix = |shape: [usize; 2]| {
            Param::initialized(
                ParamId::new(),
                Tensor::<B, 2>::zeros(shape, device).require_grad(),
            )
        };
        let vector = |size: usize| {
            Param::initialized(
                ParamId::new(),
                Tensor::<B, 1>::zeros([size], device).require_grad(),
            )
        };
        let linear = |input: usize, output: usize, bias: bool| Linear {
            weight: matrix([input, output]),
            bias: bias.then(|| vector(output)),
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
            head: (!config.tied).then(|| matrix([config.vocab_size, hidden])),
            config: config.clone(),
        }
    }

    /// The output head, `[vocabulary, hidden]`.
    pub fn head(&self) -> Tensor<B, 2> {
        self.head.as_ref().unwrap_or(&self.embed).val()
    }
}

impl<B: Ops> Decoder<B> {
    /// Final hidden states of every token of a forest.
    ///
    /// # Shapes
    ///
    /// - `tokens`, `position`, `end`: `[rows * width]`, as in [`TreeView`]
    /// - output: `[rows, width, hidden]`
    pub fn forest_hidden(
        &self,
        tokens: &[u32],
        position: &[u32],
        end: &[u32],
        rows: usize,
        device: &B::Device,
    ) -> Tensor<B, 3> {
        let view = Arc::new(self.tree_view(position, end, rows));
        self.hidden(tokens, position, rows, None, device, |_, qkv| {
            B::tree_attention(qkv, &view)
        })
    }

    /// What attention over a forest reads, for this decoder; see [`TreeView`] for the shapes.
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
        device: &B::Device,
        mut attend: impl FnMut(usize, Tensor<B, 3>) -> Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let config = &self.config;
        let mut x = self.embedded(tokens, position, rows, device);
        for (layer, block) in self.blocks.iter().enumerate() {
            let mut attended = attend(layer, block.qkv(x.clone(), config));
            if let (Some(wanted), true) = (wanted, layer + 1 == self.blocks.len()) {
                let cells = int_tensor::<B>(wanted.iter().map(|&i| i as i32).collect(), device);
                let choose = |x: Tensor<B, 3>| {
                    let [rows, width, size] = x.dims();
                    let x = x.reshape([1, rows * width, size]);
                    x.select(1, cells.clone())
                };
                (x, attended) = (choose(x), choose(attended));
            }
            x = block.finish(x, attended, config);
        }
        self.norm.forward(x, config.norm_eps)
    }

    /// What goes into the first block, `[rows, width, hidden]`.
    fn embedded(
        &self,
        tokens: &[u32],
        positions: &[u32],
        rows: usize,
        device: &B::Device,
    ) -> Tensor<B, 3> {
        let shape = [rows, tokens.len() / rows, self.config.hidden_size];
        let rows_of = |table: &Param<Tensor<B, 2>>, indices: &[u32]| {
            let indices = int_tensor(indices.iter().map(|&i| i as i32).collect(), device);
            table.val().select(0, indices).reshape(shape)
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

/// A rank-one integer tensor.
pub fn int_tensor<B: Backend>(values: Vec<i32>, device: &B::Device) -> Tensor<B, 1, Int> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
