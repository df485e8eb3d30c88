"""Names and settings of encoder checkpoints of Hugging Face: one `EncoderFamily` per architecture.

A family says which tensor of a file is which of ours, and by which keys its `config.json` is read.
A new architecture with the same steps is one entry here.
"""

from dataclasses import dataclass, field
from typing import Any

from xbarsim.models.graph import Role


@dataclass(frozen=True)
class Keys:
    """What a config.json calls its sizes.

    epsilon : of the norms, None where the architecture has one value
    embedding : width of the embeddings, None where it is the hidden width
    layer_sets : how many layers have weights of their own, None where all have
    """

    hidden: str = "hidden_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    intermediate: str = "intermediate_size"
    activation: str = "hidden_act"
    token_types: str | None = "type_vocab_size"
    epsilon: str | None = "layer_norm_eps"
    embedding: str | None = None
    layer_sets: str | None = None


@dataclass(frozen=True)
class Classifier:
    """A classifier of sentences: a matrix and a function make the first token's vector what the
    last matrix reads.

    pooler, last : names of the matrices in the file;  function : "tanh" or "relu"
    """

    pooler: str
    last: str = "classifier"
    function: str = "tanh"


BUCKETS = 32  # of MPNet's relative position bias; the reference computes with no other number

# Settings that are built in one form only, and that form.
ONLY: dict[str, Any] = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": {},
}

# What pretraining leaves in a file and no sentence needs: heads that predict words, and counters.
LEFT_OUT = ("cls.predictions.", "cls.seq_relationship.", "lm_head.", "embeddings.position_ids")


@dataclass(frozen=True)
class EncoderFamily:
    """How one architecture writes its checkpoint.

    prefix : what may stand before every name
    embeddings : our name -> name in the file
    layers : where set {i} of the layers' weights lies
    layer : matrix or norm of a layer -> its name there
    projection : matrix from embeddings to hidden states
    pooler : matrix of a checkpoint without a classifier that pools the first token
    only : settings that are built in one form only
    left_out : starts of names of tensors that no sentence needs
    relative_buckets : of a position bias on the attention scores, 0 without one
    padding : token of padding where positions are counted from behind it; its default, and whether
        config.json may state another one
    """

    prefix: str
    embeddings: dict[str, str]
    layers: str
    layer: dict[Role, str]
    classifier: Classifier
    pooler: str | None = "pooler.dense"
    projection: str | None = None
    keys: Keys = Keys()
    activation: str = "gelu"
    only: dict[str, Any] = field(default_factory=lambda: ONLY)
    left_out: tuple[str, ...] = LEFT_OUT
    relative_buckets: int = 0
    padding: int | None = None
    states_padding: bool = False


_WORDS = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.norm.weight": "embeddings.LayerNorm.weight",
    "embeddings.norm.bias": "embeddings.LayerNorm.bias",
}
_TOKEN_TYPES = {"embeddings.token_type": "embeddings.token_type_embeddings.weight"}
_BERT_LAYER = {
    Role.QUERY: "attention.self.query",
    Role.KEY: "attention.self.key",
    Role.VALUE: "attention.self.value",
    Role.ATTENTION_OUTPUT: "attention.output.dense",
    Role.ATTENTION_NORM: "attention.output.LayerNorm",
    Role.INTERMEDIATE: "intermediate.dense",
    Role.OUTPUT: "output.dense",
    Role.OUTPUT_NORM: "output.LayerNorm",
}
_TWO_LAYERS = Classifier("classifier.dense", "classifier.out_proj")

_BERT = EncoderFamily(
    prefix="bert.",
    embeddings=_WORDS | _TOKEN_TYPES,
    layers="encoder.layer.{i}",
    layer=_BERT_LAYER,
    classifier=Classifier("pooler.dense"),
)

_MPNET = EncoderFamily(
    prefix="mpnet.",
    embeddings=_WORDS | {"relative_attention_bias": "encoder.relative_attention_bias.weight"},
    layers="encoder.layer.{i}",
    layer={
        Role.QUERY: "attention.attn.q",
        Role.KEY: "attention.attn.k",
        Role.VALUE: "attention.attn.v",
        Role.ATTENTION_OUTPUT: "attention.attn.o",
        Role.ATTENTION_NORM: "attention.LayerNorm",
        Role.INTERMEDIATE: "intermediate.dense",
        Role.OUTPUT: "output.dense",
        Role.OUTPUT_NORM: "output.LayerNorm",
    },
    classifier=_TWO_LAYERS,
    keys=Keys(token_types=None),
    relative_buckets=BUCKETS,
    only=ONLY | {"relative_attention_num_buckets": BUCKETS},
    padding=1,
)

_ROBERTA = EncoderFamily(
    prefix="roberta.",
    embeddings=_WORDS | _TOKEN_TYPES,
    layers="encoder.layer.{i}",
    layer=_BERT_LAYER,
    classifier=_TWO_LAYERS,
    padding=1,
    states_padding=True,
)

_DISTILBERT = EncoderFamily(
    prefix="distilbert.",
    embeddings=_WORDS,
    layers="transformer.layer.{i}",
    layer={
        Role.QUERY: "attention.q_lin",
        Role.KEY: "attention.k_lin",
        Role.VALUE: "attention.v_lin",
        Role.ATTENTION_OUTPUT: "attention.out_lin",
        Role.ATTENTION_NORM: "sa_layer_norm",
        Role.INTERMEDIATE: "ffn.lin1",
        Role.OUTPUT: "ffn.lin2",
        Role.OUTPUT_NORM: "output_layer_norm",
    },
    classifier=Classifier("pre_classifier", function="relu"),
    pooler=None,
    keys=Keys(
        hidden="dim",
        layers="n_layers",
        heads="n_heads",
        intermediate="hidden_dim",
        activation="activation",
        token_types=None,
        epsilon=None,
    ),
    left_out=("vocab_transform.", "vocab_layer_norm.", "vocab_projector.", *LEFT_OUT),
)

_ALBERT = EncoderFamily(
    prefix="albert.",
    embeddings=_WORDS | _TOKEN_TYPES,
    layers="encoder.albert_layer_groups.{i}.albert_layers.0",
    layer={
        Role.QUERY: "attention.query",
        Role.KEY: "attention.key",
        Role.VALUE: "attention.value",
        Role.ATTENTION_OUTPUT: "attention.dense",
        Role.ATTENTION_NORM: "attention.LayerNorm",
        Role.INTERMEDIATE: "ffn",
        Role.OUTPUT: "ffn_output",
        Role.OUTPUT_NORM: "full_layer_layer_norm",
    },
    classifier=Classifier("pooler"),
    pooler="pooler",
    projection="encoder.embedding_hidden_mapping_in",
    keys=Keys(embedding="embedding_size", layer_sets="num_hidden_groups"),
    activation="gelu_new",
    only=ONLY | {"inner_group_num": 1},
    left_out=("predictions.", "sop_classifier.", *LEFT_OUT),
)

# By model_type of config.json.
ENCODER_FAMILIES = {
    "bert": _BERT,
    "mpnet": _MPNET,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
}
