"""TRL's DPOTrainer over rows of prompt, chosen and rejected."""
import json

from trl import DPOConfig, DPOTrainer

import peer
import trl_train
from settings import BETA

parser = peer.arguments(__doc__)
parser.add_argument("--precompute", action="store_true", help="reference log-probs before training, untimed")
parser.add_argument("--lora", type=json.loads, help="adapters of PEFT: r, alpha, dropout, targets")
args = parser.parse_args()
peer.start(args)
trl_train.train(args, DPOTrainer, DPOConfig, args.batch, beta=BETA, loss_type="sigmoid",
                precompute_ref_log_probs=args.precompute, adapters=args.lora)
