use rapport::model::*; use rapport::model::config::*; use rapport::train::*; use rapport::train::optimizer::*; use rapport::objective::*;
use std::time::Instant;
type Ad = burn::backend::Autodiff<burn_flex::Flex>;
fn main(){
  let (d,l,v)=(128,2,700);
  let c=DecoderConfig{family:Family::Llama,vocab_size:v,hidden_size:d,layers:l,heads:4,kv_heads:4,head_dim:d/4,intermediate_size:d*8/3,max_positions:512,norm:Norm::Rms,norm_eps:1e-5,positions:Positions::Rotary{theta:1e4,scaling:None},activation:Activation::SwiGlu,qkv_bias:false,out_bias:false,mlp_bias:false,sliding_window:None,tied:true,bos:Some(0),eos:Some(0),other_eos:vec![],pad:None};
  println!("{} parameters",c.parameters());
  let dev=Default::default();
  let mut m:Decoder<Ad>=weights::assign(Decoder::zeros(&c,&dev),weights::random(&c,0.02,1));
  let ex:Vec<_>=(0..16u32).map(|i|TrainExample{sequences:vec![Sequence{tokens:(0..130).map(|j|(i*31+j*17)%700).collect(),scored_from:70}],reference:vec![]}).collect();
  let set=Dataset{units:(0..16).map(|i|vec![i]).collect(),examples:ex,shuffle:false};
  let mut o=AdamW::<Ad>::new(AdamWConfig{adam_beta1:0.9,adam_beta2:0.999,adam_epsilon:1e-8,weight_decay:0.1,max_grad_norm:1.0});
  for i in 0..12{
    let t=Instant::now();
    let b=vec![set.batch(&(0..16).collect::<Vec<_>>(),&Objective::Sft)];
    let t1=t.elapsed();
    let (g,line)=gradients(&m,&Objective::Sft,&b,&dev);
    let t2=t.elapsed();
    (m,_)=o.step(m,g,1e-3);
    println!("{i} rows {} width {} batch {:?} grad {:?} total {:?} loss {}",b[0].forest.rows,b[0].forest.width,t1,t2-t1,t.elapsed(),line["loss"]);
  }
  // forward only
  let t=Instant::now(); let b=set.batch(&(0..16).collect::<Vec<_>>(),&Objective::Sft);
  let x=m.branch_logps(&b.forest,&dev).into_data(); println!("fwd {:?} {}",t.elapsed(),x);
}
