"""Tiny random encoders as Hugging Face directories, each with its classifier: one of every family,
with settings that are not the default.
"""

import numpy as np
from checkpoint_files import save_checkpoint
from tiny import VOCABULARY, WORDS

SIZES = {
    "vocab_size": 105,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 70,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-3,
    "hidden_act": "gelu",
    "id2label": {"0": "0", "1": "1", "2": "2"},
    "label2id": {"0": 0, "1": 1, "2": 2},
}
CONFIGS = {
    "bert": SIZES
    | {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "type_vocab_size": 3,
        "hidden_act": "relu",
        "pad_token_id": 0,
    },
    "mpnet": SIZES
    | {
        "model_type": "mpnet",
        "architectures": ["MPNetForSequenceClassification"],
        "relative_attention_num_buckets": 32,
        "pad_token_id": 1,
    },
    "roberta": SIZES
    | {
        "model_type": "roberta",
        "architectures": ["RobertaForSequenceClassification"],
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
    "xlm-roberta": SIZES
    | {
        "model_type": "xlm-roberta",
        "architectures": ["XLMRobertaForSequenceClassification"],
        "num_hidden_layers": 3,
        "hidden_act": "gelu_new",
        "pad_token_id": 4,
    },
    "distilbert": {
        "model_type": "distilbert",
        "architectures": ["DistilBertForSequenceClassification"],
        "vocab_size": 105,
        "dim": 24,
        "n_layers": 3,
        "n_heads": 2,
        "hidden_dim": 40,
        "activation": "relu",
        "max_position_embeddings": 70,
        "sinusoidal_pos_embds": False,
        "pad_token_id": 0,
        "id2label": SIZES["id2label"],
        "label2id": SIZES["label2id"],
    },
    "albert": SIZES
    | {
        "model_type": "albert",
        "architectures": ["AlbertForSequenceClassification"],
        "embedding_size": 10,
        "num_hidden_layers": 3,
        "num_hidden_groups": 1,
        "inner_group_num": 1,
        "hidden_act": "gelu_new",
        "pad_token_id": 0,
    },
    "albert-groups": SIZES
    | {
        "model_type": "albert",
        "architectures": ["AlbertForSequenceClassification"],
        "embedding_size": 24,
        "num_hidden_layers": 5,
        "num_hidden_groups": 2,
        "inner_group_num": 1,
        "pad_token_id": 0,
    },
}


class Names:
    """Collects the shapes of tensors by the names that the reference library writes."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.shapes = {}

    def table(self, name, *shape):
        self.shapes[f"{self.prefix}{name}.weight"] = shape

    def dense(self, name, outputs, inputs):
        self.shapes[f"{self.prefix}{name}.weight"] = (outputs, inputs)
        self.shapes[f"{self.prefix}{name}.bias"] = (outputs,)

    def norm(self, name, width):
        self.shapes[f"{self.prefix}{name}.weight"] = (width,)
        self.shapes[f"{self.prefix}{name}.bias"] = (width,)

    def embeddings(self, config, width):
        self.table("embeddings.word_embeddings", config["vocab_size"], width)
        self.table("embeddings.position_embeddings", config["max_position_embeddings"], width)
        if config["model_type"] not in ("mpnet", "distilbert"):
            self.table("embeddings.token_type_embeddings", config["type_vocab_size"], width)
        self.norm("embeddings.LayerNorm", width)

    def layer(self, start, names, hidden, inner):
        query, key, value, output, attention_norm, first, second, output_norm = names.split()
        for name in (query, key, value, output):
            self.dense(f"{start}.{name}", hidden, hidden)
        self.norm(f"{start}.{attention_norm}", hidden)
        self.dense(f"{start}.{first}", inner, hidden)
        self.dense(f"{start}.{second}", hidden, inner)
        self.norm(f"{start}.{output_norm}", hidden)

    def classifier(self, names, hidden, classes):
        """names : of the matrix before the last one, and of the last one, without the prefix"""
        first, last = names
        without = Names("")
        without.dense(first, hidden, hidden)
        without.dense(last, classes, hidden)
        self.shapes |= without.shapes


BERT_LAYER = (
    "attention.self.query attention.self.key attention.self.value attention.output.dense "
    "attention.output.LayerNorm intermediate.dense output.dense output.LayerNorm"
)
MPNET_LAYER = (
    "attention.attn.q attention.attn.k attention.attn.v attention.attn.o "
    "attention.LayerNorm intermediate.dense output.dense output.LayerNorm"
)
DISTILBERT_LAYER = (
    "attention.q_lin attention.k_lin attention.v_lin attention.out_lin "
    "sa_layer_norm ffn.lin1 ffn.lin2 output_layer_norm"
)
ALBERT_LAYER = (
    "attention.query attention.key attention.value attention.dense "
    "attention.LayerNorm ffn ffn_output full_layer_layer_norm"
)
TWO_LAYERS = ("classifier.dense", "classifier.out_proj")


def tensor_shapes(config):
    """{name in the file: shape} of a classifier as the reference library writes it."""
    kind = config["model_type"]
    hidden = config.get("hidden_size", config.get("dim"))
    inner = config.get("intermediate_size", config.get("hidden_dim"))
    layers = config.get("num_hidden_layers", config.get("n_layers"))
    classes = len(config["id2label"])
    names = Names({"xlm-roberta": "roberta."}.get(kind, f"{kind}."))
    names.embeddings(config, config.get("embedding_size", hidden))
    if kind == "albert":
        names.dense("encoder.embedding_hidden_mapping_in", hidden, config["embedding_size"])
        for group in range(config["num_hidden_groups"]):
            start = f"encoder.albert_layer_groups.{group}.albert_layers.0"
            names.layer(start, ALBERT_LAYER, hidden, inner)
        names.classifier(("albert.pooler", "classifier"), hidden, classes)
        return names.shapes
    start = "transformer.layer" if kind == "distilbert" else "encoder.layer"
    of_kind = {"mpnet": MPNET_LAYER, "distilbert": DISTILBERT_LAYER}.get(kind, BERT_LAYER)
    for number in range(layers):
        names.layer(f"{start}.{number}", of_kind, hidden, inner)
    if kind == "mpnet":
        buckets = config["relative_attention_num_buckets"]
        heads = config["num_attention_heads"]
        names.table("encoder.relative_attention_bias", buckets, heads)
    heads_of = {
        "bert": ("bert.pooler.dense", "classifier"),
        "distilbert": ("pre_classifier", "classifier"),
    }
    names.classifier(heads_of.get(kind, TWO_LAYERS), hidden, classes)
    return names.shapes


def tensors_of(config, seed=0):
    """Random float32 tensors {name: array}: norms near 1, everything else spread by its width."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in tensor_shapes(config).items():
        values = rng.standard_normal(shape)
        if len(shape) == 1:
            is_norm = "norm" in name.lower() and name.endswith("weight")
            values = 0.3 * values + (1.0 if is_norm else 0.0)
        elif "embeddings." not in name:
            values = values * 1.5 / np.sqrt(shape[-1])
        tensors[name] = values.astype(np.float32)
    return tensors


def make_tokenizer(kind):
    """Word pieces, bytes between <s> and </s>, or SentencePiece's unigrams, as the family has it."""
    if kind in ("roberta", "xlm-roberta"):
        return _bytes()
    return _unigrams() if kind == "albert" else _word_pieces()


def _between(tokenizer, first, last):
    from tokenizers import processors

    numbers = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=numbers
    )
    return tokenizer


def _bytes():
    from tokenizers import Tokenizer, models, pre_tokenizers

    characters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *map(chr, range(33, 127))]
    vocabulary = {token: number for number, token in enumerate(characters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _between(tokenizer, "<s>", "</s>")


def _word_pieces():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _between(tokenizer, "[CLS]", "[SEP]")


def _unigrams():
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokens = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", *(f"▁{word}" for word in WORDS)]
    scored = [(token, -float(number)) for number, token in enumerate(tokens)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _between(tokenizer, "[CLS]", "[SEP]")


def make_tiny_encoder(directory, family, *, shards=1, seed=0, **changes):
    """Write config.json, tokenizer.json and the weights, in several shards if asked; returns the
    directory.
    """
    config = CONFIGS[family] | changes
    tokenizer = make_tokenizer(config["model_type"])
    return save_checkpoint(directory, config, tokenizer, tensors_of(config, seed), shards)
