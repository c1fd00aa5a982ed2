"""A run of one of TRL's trainers: rows in file order, the clock on each step, nothing else changed."""
import time

import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

import peer
from settings import TRAINING


class Log(TrainerCallback):
    """Seconds and loss of each step."""

    def __init__(self):
        self.seconds, self.losses = [], []

    def on_step_begin(self, *_, **__):
        self.began = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.began)

    def on_log(self, _args, _state, _control, logs=None, **_):
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


def peft_config(adapters):
    if adapters is None:
        return {}
    from peft import LoraConfig
    return {"peft_config": LoraConfig(
        r=adapters["r"], lora_alpha=adapters["alpha"], lora_dropout=adapters["dropout"],
        target_modules=adapters["targets"], task_type="CAUSAL_LM")}


def train(args, trainer_class, config_class, replies, adapters=None, **more):
    """Trains once over the rows and writes the result; a step has `replies` units of throughput."""

    class InFileOrder(trainer_class):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(self.train_dataset if dataset is None else dataset)

    log, rows = Log(), peer.read(args.rows)
    config = config_class(
        output_dir=args.json + ".trainer", per_device_train_batch_size=args.batch,
        max_steps=len(rows) // args.batch, bf16=args.bf16, gradient_checkpointing=False, use_cpu=True,
        logging_steps=1, logging_nan_inf_filter=False, report_to=[], save_strategy="no",
        disable_tqdm=True, seed=0, **TRAINING, **more)
    trainer = InFileOrder(
        model=AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32), args=config,
        train_dataset=Dataset.from_list(rows), processing_class=AutoTokenizer.from_pretrained(args.model),
        callbacks=[log], **peft_config(adapters))
    trainer.train()
    peer.write(args, value=replies / peer.after_the_first(log.seconds), seconds=log.seconds, losses=log.losses)
