"""TRL's SFTTrainer: loss on the completions of prompt and completion, or on a conversation's assistant."""
from trl import SFTConfig, SFTTrainer

import peer
import trl_train

parser = peer.arguments(__doc__)
args = parser.parse_args()
peer.start(args)
rows = peer.read(args.rows)
conversational = "messages" in rows[0]
turns = sum(m["role"] == "assistant" for m in rows[0]["messages"]) if conversational else 1
trl_train.train(args, SFTTrainer, SFTConfig, args.batch * turns, assistant_only_loss=conversational)
