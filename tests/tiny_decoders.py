"""Tiny random decoders as Hugging Face directories: one of every family, with settings that are not
the default.
"""

import numpy as np
from checkpoint_files import save_checkpoint

COMMON = {"vocab_size": 96, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS = {
    "llama": COMMON
    | {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 40,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "rope_theta": 500.0,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
    },
    "llama3": COMMON
    | {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 40,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 100.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    },
    "linear": COMMON
    | {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 40,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0},
    },
    "qwen2": COMMON
    | {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "rope_theta": 2000.0,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "gpt2": COMMON
    | {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": 24,
        "n_layer": 2,
        "n_head": 3,
        "n_positions": 64,
        "n_inner": 56,
        "layer_norm_epsilon": 1e-4,
        "activation_function": "gelu_new",
        "tie_word_embeddings": True,
    },
    "phi": COMMON
    | {
        "model_type": "phi",
        "architectures": ["PhiForCausalLM"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu_new",
        "partial_rotary_factor": 0.375,
        "rope_theta": 300.0,
        "tie_word_embeddings": False,
        "qk_layernorm": False,
    },
    "opt": COMMON
    | {
        "model_type": "opt",
        "architectures": ["OPTForCausalLM"],
        "hidden_size": 24,
        "word_embed_proj_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "ffn_dim": 40,
        "max_position_embeddings": 64,
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
    },
}


def tensor_shapes(config):
    """{name in the file: shape} as the reference library writes it."""
    kind = config["model_type"]
    return {"llama": _llama, "qwen2": _llama, "gpt2": _gpt2, "phi": _phi, "opt": _opt}[kind](config)


def _norm(shapes, name, width, bias):
    shapes[f"{name}.weight"] = (width,)
    if bias:
        shapes[f"{name}.bias"] = (width,)


def _dense(shapes, name, outputs, inputs, bias):
    shapes[f"{name}.weight"] = (outputs, inputs)
    if bias:
        shapes[f"{name}.bias"] = (outputs,)


def _llama(c):
    hidden = c["hidden_size"]
    width = c.get("head_dim", hidden // c["num_attention_heads"])
    queries = width * c["num_attention_heads"]
    keys = width * c["num_key_value_heads"]
    bias = c["model_type"] == "qwen2"
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden)}
    for number in range(c["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        _dense(shapes, f"{layer}.self_attn.q_proj", queries, hidden, bias)
        _dense(shapes, f"{layer}.self_attn.k_proj", keys, hidden, bias)
        _dense(shapes, f"{layer}.self_attn.v_proj", keys, hidden, bias)
        _dense(shapes, f"{layer}.self_attn.o_proj", hidden, queries, False)
        _dense(shapes, f"{layer}.mlp.gate_proj", c["intermediate_size"], hidden, False)
        _dense(shapes, f"{layer}.mlp.up_proj", c["intermediate_size"], hidden, False)
        _dense(shapes, f"{layer}.mlp.down_proj", hidden, c["intermediate_size"], False)
        _norm(shapes, f"{layer}.input_layernorm", hidden, False)
        _norm(shapes, f"{layer}.post_attention_layernorm", hidden, False)
    _norm(shapes, "model.norm", hidden, False)
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], hidden)
    return shapes


def _gpt2(c):
    hidden = c["n_embd"]
    shapes = {
        "transformer.wte.weight": (c["vocab_size"], hidden),
        "transformer.wpe.weight": (c["n_positions"], hidden),
    }
    for number in range(c["n_layer"]):
        layer = f"transformer.h.{number}"
        for name, inputs, outputs in (
            ("attn.c_attn", hidden, 3 * hidden),
            ("attn.c_proj", hidden, hidden),
            ("mlp.c_fc", hidden, c["n_inner"]),
            ("mlp.c_proj", c["n_inner"], hidden),
        ):
            shapes[f"{layer}.{name}.weight"] = (inputs, outputs)
            shapes[f"{layer}.{name}.bias"] = (outputs,)
        _norm(shapes, f"{layer}.ln_1", hidden, True)
        _norm(shapes, f"{layer}.ln_2", hidden, True)
    _norm(shapes, "transformer.ln_f", hidden, True)
    return shapes


def _phi(c):
    hidden = c["hidden_size"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden)}
    for number in range(c["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "dense"):
            _dense(shapes, f"{layer}.self_attn.{name}", hidden, hidden, True)
        _dense(shapes, f"{layer}.mlp.fc1", c["intermediate_size"], hidden, True)
        _dense(shapes, f"{layer}.mlp.fc2", hidden, c["intermediate_size"], True)
        _norm(shapes, f"{layer}.input_layernorm", hidden, True)
    _norm(shapes, "model.final_layernorm", hidden, True)
    _dense(shapes, "lm_head", c["vocab_size"], hidden, True)
    return shapes


def _opt(c):
    hidden = c["hidden_size"]
    shapes = {
        "model.decoder.embed_tokens.weight": (c["vocab_size"], hidden),
        "model.decoder.embed_positions.weight": (c["max_position_embeddings"] + 2, hidden),
    }
    for number in range(c["num_hidden_layers"]):
        layer = f"model.decoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            _dense(shapes, f"{layer}.self_attn.{name}", hidden, hidden, True)
        _dense(shapes, f"{layer}.fc1", c["ffn_dim"], hidden, True)
        _dense(shapes, f"{layer}.fc2", hidden, c["ffn_dim"], True)
        _norm(shapes, f"{layer}.self_attn_layer_norm", hidden, True)
        _norm(shapes, f"{layer}.final_layer_norm", hidden, True)
    _norm(shapes, "model.decoder.final_layer_norm", hidden, True)
    return shapes


def tensors_of(config, seed=0):
    """Random float32 tensors {name: array}: norms near 1, everything else spread by its width."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in tensor_shapes(config).items():
        values = rng.standard_normal(shape)
        if len(shape) == 1:
            values = 0.3 * values + (1.0 if name.endswith("weight") else 0.0)
        else:
            values = values * 1.5 / np.sqrt(shape[-1])
        tensors[name] = values.astype(np.float32)
    return tensors


def character_tokenizer():
    """Byte-level tokens of one printable character each, and <|endoftext|> as token 0: 96 in all."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    characters = ["<|endoftext|>", "Ġ", *map(chr, range(33, 127))]
    vocabulary = {token: number for number, token in enumerate(characters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return tokenizer


def make_tiny_decoder(directory, family, *, shards=1, seed=0, **changes):
    """Write config.json, tokenizer.json and the weights, in several shards if asked; returns the
    directory."""
    config = CONFIGS[family] | changes
    tokenizer = character_tokenizer()
    return save_checkpoint(directory, config, tokenizer, tensors_of(config, seed), shards)


TOKENIZER = character_tokenizer()


def slow_log_probabilities(model, ids):
    """One prefix at a time, in float64 from the hidden state on."""
    weight, _ = model.matrix("logits")
    found = []
    for stop in range(1, len(ids)):
        prefix = np.array([ids[:stop]])
        state = model.forward(prefix, np.ones(prefix.shape))[0, -1].astype(float)
        scores = weight.astype(float) @ state
        found.append(scores[ids[stop]] - np.log(np.exp(scores).sum()))
    return np.array(found)


def ids_of(text):
    return TOKENIZER.encode(text, add_special_tokens=False).ids
