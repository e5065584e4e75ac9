# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.SamplingParams do
  @moduledoc """
  Sampling parameters for text generation.

  Overall, we follow the sampling parameters from the OpenAI text completion API
  (https://platform.openai.com/docs/api-reference/completions/create). In addition, we support
  beam search, which is not supported by OpenAI.

  In Python: `vllm.sampling_params.SamplingParams`, whose words these are: its `None` is `nil`
  here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Example

      iex> params = %Vllm.SamplingParams{temperature: 0.0, max_tokens: 64, stop: ["\\n\\n"]}
      iex> params.top_p
      1.0

  ## Fields

    * `:n` - `int`, default `1`. Number of outputs to return for the given prompt request.

      The maximum allowed value is controlled by the `VLLM_MAX_N_SEQUENCES` environment
      variable (default: 16384).

      NOTE: `AsyncLLM` streams outputs by default. When `n > 1`, all `n` outputs are generated
      and streamed cumulatively per request. To see all `n` outputs upon completion, use
      `output_kind=RequestOutputKind.FINAL_ONLY` in `SamplingParams`.

    * `:presence_penalty` - `float`, default `0.0`. Penalizes new tokens based on whether they
      appear in the generated text so far. Values > 0 encourage the model to use new tokens,
      while values < 0 encourage the model to repeat tokens.
    * `:frequency_penalty` - `float`, default `0.0`. Penalizes new tokens based on their
      frequency in the generated text so far. Values > 0 encourage the model to use new tokens,
      while values < 0 encourage the model to repeat tokens.
    * `:repetition_penalty` - `float`, default `1.0`. Penalizes new tokens based on whether they
      appear in the prompt and the generated text so far. Values > 1 encourage the model to use
      new tokens, while values < 1 encourage the model to repeat tokens.
    * `:temperature` - `float`, default `1.0`. Controls the randomness of the sampling. Lower
      values make the model more deterministic, while higher values make the model more random.
      Zero means greedy sampling.
    * `:watermarking` - `bool or None`, default `nil`. Whether to apply the engine's configured
      watermark to this request. `None` defaults to enabled.
    * `:top_p` - `float`, default `1.0`. Controls the cumulative probability of the top tokens
      to consider. Must be in (0, 1]. Set to 1 to consider all tokens.
    * `:top_k` - `int`, default `0`. Controls the number of top tokens to consider. Set to 0 (or
      -1) to consider all tokens.
    * `:min_p` - `float`, default `0.0`. Represents the minimum probability for a token to be
      considered, relative to the probability of the most likely token. Must be in [0, 1]. Set
      to 0 to disable this.
    * `:seed` - `int or None`, default `nil`. Random seed to use for the generation.
    * `:stop` - `str or list[str] or None`, default `nil`. String(s) that stop the generation
      when they are generated. The returned output will not contain the stop strings.
    * `:stop_token_ids` - `list[int] or None`, default `nil`. Token IDs that stop the generation
      when they are generated. The returned output will contain the stop tokens unless the stop
      tokens are special tokens.
    * `:ignore_eos` - `bool`, default `false`. Whether to ignore the EOS token and continue
      generating tokens after the EOS token is generated.
    * `:max_tokens` - `int or None`, default `16`. Maximum number of tokens to generate per
      output sequence.
    * `:min_tokens` - `int`, default `0`. Minimum number of tokens to generate per output
      sequence before EOS or `stop_token_ids` can be generated
    * `:logprobs` - `int or None`, default `nil`. Number of log probabilities to return per
      output token. When set to `None`, no probability is returned. If set to a non-`None`
      value, the result includes the log probabilities of the specified number of most likely
      tokens, as well as the chosen tokens. Note that the implementation follows the OpenAI API:
      The API will always return the log probability of the sampled token, so there may be up to
      `logprobs+1` elements in the response. When set to -1, return all `vocab_size` log
      probabilities.
    * `:prompt_logprobs` - `int or None`, default `nil`. Number of log probabilities to return
      per prompt token. When set to -1, return all `vocab_size` log probabilities.
    * `:prompt_logprob_token_ids` - `ndarray or None`, default `nil`. Token IDs to score per
      causal prompt row: an integer array of shape [num_rows, num_ids] or nested lists; -1
      entries (padding) score -inf. Row i scores its IDs as predictions of prompt token
      prompt_logprob_start + i + 1, so the last prompt row is excluded.
    * `:prompt_logprob_start` - `int or None`, default `nil`. First causal prompt row to score;
      defaults to the first row.
    * `:logprob_token_ids` - `list[int] or None`, default `nil`. Specific token IDs to return
      logprobs for. More efficient than logprobs=-1 when you only need logprobs for a small set
      of tokens. When set, logprobs for exactly these token IDs will be returned, in addition to
      the sampled token. This is useful for scoring tasks where you want to compare
      probabilities of specific label tokens.
    * `:flat_logprobs` - `bool`, default `false`. Whether to return logprobs in flatten format
      (i.e. FlatLogprob) for better performance. NOTE: GC costs of FlatLogprobs is significantly
      smaller than list[dict[int, Logprob]]. After enabled, PromptLogprobs and SampleLogprobs
      would populated as FlatLogprobs.
    * `:detokenize` - `bool`, default `true`. Whether to detokenize the output.
    * `:skip_special_tokens` - `bool`, default `true`. Whether to skip special tokens in the
      output.
    * `:spaces_between_special_tokens` - `bool`, default `true`. Whether to add spaces between
      special tokens in the output.
    * `:include_stop_str_in_output` - `bool`, default `false`. Whether to include the stop
      strings in output text.
    * `:output_kind` - `RequestOutputKind`, default `:CUMULATIVE`. What each output of the
      stream holds: everything so far (`:CUMULATIVE`), what is new (`:DELTA`), or there is one
      output at the end (`:FINAL_ONLY`).
    * `:stream_interval` - `int or None`, default `nil`. Number of newly generated tokens to
      batch into each streamed `RequestOutput`. Raises the interval above the engine-level
      `--stream-interval`. Values below engine setting are clamped up to it. The first and final
      outputs are always emitted immediately.
    * `:skip_clone` - `bool`, default `false`. Internal flag indicating that this SamplingParams
      instance is safe to reuse without cloning. When True, clone() will return self without
      performing a deep copy. This should only be set when the params object is guaranteed to be
      dedicated to a single request and won't be modified in ways that would affect other uses.
    * `:output_text_buffer_length` - `int`, default `0`. Internal: set by vLLM from `stop`.
    * `:structured_outputs` - `StructuredOutputsParams or None`, default `nil`. Parameters for
      configuring structured outputs.
    * `:logit_bias` - `dict[int, float] or None`, default `nil`. If provided, the engine will
      construct a logits processor that applies these logit biases.
    * `:allowed_token_ids` - `list[int] or None`, default `nil`. If provided, the engine will
      construct a logits processor which only retains scores for the given token ids.
    * `:extra_args` - `dict[str, Any] or None`, default `nil`. Arbitrary additional args, that
      can be used by custom sampling implementations, plugins, etc. Not used by any in-tree
      sampling implementations.
    * `:bad_words` - `list[str] or None`, default `nil`. Words that are not allowed to be
      generated. More precisely, only the last token of a corresponding token sequence is not
      allowed when the next generated token can complete the sequence.
    * `:skip_reading_prefix_cache` - `bool or None`, default `nil`. Whether to compute the
      prompt anew instead of reading it from the prefix cache. `nil` lets vLLM decide.
    * `:thinking_token_budget` - `int or None`, default `nil`. Maximum number of tokens allowed
      for thinking operations.
    * `:repetition_detection` - `RepetitionDetectionParams or None`, default `nil`. Parameters
      for detecting repetitive N-gram patterns in output tokens. If such repetition is detected,
      generation will be ended early. LLMs can sometimes generate repetitive, unhelpful token
      patterns, stopping only when they hit the maximum output length (e.g. 'abcdabcdabcd...' or
      '\\emoji \\emoji \\emoji ...'). This feature can detect such behavior and terminate early,
      saving time and tokens.
    * `:routed_experts_prompt_start` - `int`, default `0`. When enable_return_routed_experts is
      active, skip the first routed_experts_prompt_start prompt tokens from the returned routing
      data. In multi-turn agent scenarios, set this to the length of the already-returned prefix
      to avoid duplicating routing for prompt tokens covered by earlier turns. Default 0 returns
      routing for all prompt tokens.
    * `:trace_decode_token_ids` - `list[int] or None`, default `nil`. If provided, forces the
      engine to emit this predetermined sequence of token IDs during decoding instead of
      sampling randomly. Real logprobs are still computed. Conflict checking is performed at the
      engine level.

  ## Earlier spellings

  A keyword list or a map may also have these keys, which earlier versions had:

    * `guided_decoding` - becomes `structured_outputs`
    * `truncate_prompt_tokens` - becomes `truncate_prompt_tokens` in the call's
      `tokenization_kwargs`
  """

  alias Vllm.{Call, Error, Ref}

  @typep worker :: Vllm.instance() | Ref.t()

  @type t :: %__MODULE__{
          n: integer(),
          presence_penalty: number(),
          frequency_penalty: number(),
          repetition_penalty: number(),
          temperature: number(),
          watermarking: boolean() | nil,
          top_p: number(),
          top_k: integer(),
          min_p: number(),
          seed: integer() | nil,
          stop: String.t() | [String.t()] | nil,
          stop_token_ids: [integer()] | nil,
          ignore_eos: boolean(),
          max_tokens: integer() | nil,
          min_tokens: integer(),
          logprobs: integer() | nil,
          prompt_logprobs: integer() | nil,
          prompt_logprob_token_ids: Vllm.Tensor.t() | list() | nil,
          prompt_logprob_start: integer() | nil,
          logprob_token_ids: [integer()] | nil,
          flat_logprobs: boolean(),
          detokenize: boolean(),
          skip_special_tokens: boolean(),
          spaces_between_special_tokens: boolean(),
          include_stop_str_in_output: boolean(),
          output_kind: Vllm.RequestOutputKind.t(),
          stream_interval: integer() | nil,
          skip_clone: boolean(),
          output_text_buffer_length: integer(),
          structured_outputs: Vllm.StructuredOutputsParams.t() | keyword() | map() | nil,
          logit_bias: %{optional(integer()) => number()} | nil,
          allowed_token_ids: [integer()] | nil,
          extra_args: %{optional(String.t()) => term()} | nil,
          bad_words: [String.t()] | nil,
          skip_reading_prefix_cache: boolean() | nil,
          thinking_token_budget: integer() | nil,
          repetition_detection: Vllm.RepetitionDetectionParams.t() | keyword() | map() | nil,
          routed_experts_prompt_start: integer(),
          trace_decode_token_ids: [integer()] | nil
        }

  defstruct n: 1,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            temperature: 1.0,
            watermarking: nil,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            seed: nil,
            stop: nil,
            stop_token_ids: nil,
            ignore_eos: false,
            max_tokens: 16,
            min_tokens: 0,
            logprobs: nil,
            prompt_logprobs: nil,
            prompt_logprob_token_ids: nil,
            prompt_logprob_start: nil,
            logprob_token_ids: nil,
            flat_logprobs: false,
            detokenize: true,
            skip_special_tokens: true,
            spaces_between_special_tokens: true,
            include_stop_str_in_output: false,
            output_kind: :CUMULATIVE,
            stream_interval: nil,
            skip_clone: false,
            output_text_buffer_length: 0,
            structured_outputs: nil,
            logit_bias: nil,
            allowed_token_ids: nil,
            extra_args: nil,
            bad_words: nil,
            skip_reading_prefix_cache: nil,
            thinking_token_budget: nil,
            repetition_detection: nil,
            routed_experts_prompt_start: 0,
            trace_decode_token_ids: nil

  @doc """
  Checks fields as vLLM's `SamplingParams` does, in the worker, and returns them as a struct.

  Calls check them too, so this is for those who want to know before. The struct holds what
  was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's `clone`
  copies needs no copy here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `sampling_params` - `t:Vllm.SamplingParams.t/0`, a keyword list or a map

  ## Returns

  The struct.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.SamplingParams.new(sampling_params)
  """
  @doc group: :parameters
  @spec new(Vllm.SamplingParams.t() | keyword() | map()) ::
          {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def new(sampling_params) do
    Call.invoke_class("SamplingParams", "new", 1, [sampling_params])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def new(worker_or_sampling_params, sampling_params_or_opts) do
    Call.invoke_class("SamplingParams", "new", 1, [
      worker_or_sampling_params,
      sampling_params_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def new(worker_or_sampling_params, sampling_params_or_args, args_or_opts) do
    Call.invoke_class("SamplingParams", "new", 1, [
      worker_or_sampling_params,
      sampling_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(worker(), Vllm.SamplingParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def new(worker, sampling_params, args, opts) do
    Call.invoke_class("SamplingParams", "new", 1, [worker, sampling_params, args, opts])
  end

  @doc """
  Returns all fields as vLLM has them, once it has made a `SamplingParams` of those that are
  given.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `sampling_params` - `t:Vllm.SamplingParams.t/0`, a keyword list or a map

  ## Returns

  A map by name. Objects in it, such as configurations, are maps too.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.SamplingParams.to_map(sampling_params)
  """
  @doc group: :parameters
  @spec to_map(Vllm.SamplingParams.t() | keyword() | map()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(sampling_params) do
    Call.invoke_class("SamplingParams", "to_map", 1, [sampling_params])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_sampling_params, sampling_params_or_opts) do
    Call.invoke_class("SamplingParams", "to_map", 1, [
      worker_or_sampling_params,
      sampling_params_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_sampling_params, sampling_params_or_args, args_or_opts) do
    Call.invoke_class("SamplingParams", "to_map", 1, [
      worker_or_sampling_params,
      sampling_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(worker(), Vllm.SamplingParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker, sampling_params, args, opts) do
    Call.invoke_class("SamplingParams", "to_map", 1, [worker, sampling_params, args, opts])
  end

  @doc """
  How many logprobs each token of an output gets, `logprob_token_ids` included.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `sampling_params` - `t:Vllm.SamplingParams.t/0`, a keyword list or a map

  ## Returns

  The number; -1 for all of the vocabulary, `nil` for none.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.SamplingParams.num_logprobs(sampling_params)
  """
  @doc group: :parameters
  @spec num_logprobs(Vllm.SamplingParams.t() | keyword() | map()) ::
          {:ok, integer() | nil} | {:error, Error.t()}
  def num_logprobs(sampling_params) do
    Call.invoke_class("SamplingParams", "num_logprobs", 1, [sampling_params])
  end

  @doc "See `num_logprobs/1`."
  @doc group: :parameters
  @spec num_logprobs(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, integer() | nil} | {:error, Error.t()}
  def num_logprobs(worker_or_sampling_params, sampling_params_or_opts) do
    Call.invoke_class("SamplingParams", "num_logprobs", 1, [
      worker_or_sampling_params,
      sampling_params_or_opts
    ])
  end

  @doc "See `num_logprobs/1`."
  @doc group: :parameters
  @spec num_logprobs(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, integer() | nil} | {:error, Error.t()}
  def num_logprobs(worker_or_sampling_params, sampling_params_or_args, args_or_opts) do
    Call.invoke_class("SamplingParams", "num_logprobs", 1, [
      worker_or_sampling_params,
      sampling_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `num_logprobs/1`."
  @doc group: :parameters
  @spec num_logprobs(worker(), Vllm.SamplingParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, integer() | nil} | {:error, Error.t()}
  def num_logprobs(worker, sampling_params, args, opts) do
    Call.invoke_class("SamplingParams", "num_logprobs", 1, [worker, sampling_params, args, opts])
  end

  @doc """
  Adds what a model's generation config says: further tokens that stop.

  Engines do this with the parameters of each request.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `sampling_params` - `t:Vllm.SamplingParams.t/0`, a keyword list or a map
    * `generation_config` - a map as in `generation_config.json`

  ## Options

    * `eos_token_id` - default `nil` (`int or None`). The tokenizer's own, which is no stop
      token

  ## Returns

  The struct, with `stop_token_ids` where the config has more.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.SamplingParams.update_from_generation_config(sampling_params, generation_config)
  """
  @doc group: :parameters
  @spec update_from_generation_config(Vllm.SamplingParams.t() | keyword() | map(), %{
          optional(String.t()) => term()
        }) :: {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def update_from_generation_config(sampling_params, generation_config) do
    Call.invoke_class("SamplingParams", "update_from_generation_config", 2, [
      sampling_params,
      generation_config
    ])
  end

  @doc "See `update_from_generation_config/2`."
  @doc group: :parameters
  @spec update_from_generation_config(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | %{optional(String.t()) => term()},
          %{optional(String.t()) => term()} | Call.args_or_opts()
        ) :: {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def update_from_generation_config(
        worker_or_sampling_params,
        sampling_params_or_generation_config,
        generation_config_or_opts
      ) do
    Call.invoke_class("SamplingParams", "update_from_generation_config", 2, [
      worker_or_sampling_params,
      sampling_params_or_generation_config,
      generation_config_or_opts
    ])
  end

  @doc "See `update_from_generation_config/2`."
  @doc group: :parameters
  @spec update_from_generation_config(
          worker() | Vllm.SamplingParams.t() | keyword() | map(),
          Vllm.SamplingParams.t() | keyword() | map() | %{optional(String.t()) => term()},
          %{optional(String.t()) => term()} | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def update_from_generation_config(
        worker_or_sampling_params,
        sampling_params_or_generation_config,
        generation_config_or_args,
        args_or_opts
      ) do
    Call.invoke_class("SamplingParams", "update_from_generation_config", 2, [
      worker_or_sampling_params,
      sampling_params_or_generation_config,
      generation_config_or_args,
      args_or_opts
    ])
  end

  @doc "See `update_from_generation_config/2`."
  @doc group: :parameters
  @spec update_from_generation_config(
          worker(),
          Vllm.SamplingParams.t() | keyword() | map(),
          %{optional(String.t()) => term()},
          [term()],
          keyword()
        ) :: {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def update_from_generation_config(worker, sampling_params, generation_config, args, opts) do
    Call.invoke_class("SamplingParams", "update_from_generation_config", 2, [
      worker,
      sampling_params,
      generation_config,
      args,
      opts
    ])
  end

  @doc """
  The parameters with which vLLM warms its sampler up: all parts of it are used.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be

  ## Returns

  The struct.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.SamplingParams.for_sampler_warmup()
  """
  @doc group: :parameters
  @spec for_sampler_warmup() :: {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def for_sampler_warmup() do
    Call.invoke_class("SamplingParams", "for_sampler_warmup", 0, [])
  end

  @doc "See `for_sampler_warmup/0`."
  @doc group: :parameters
  @spec for_sampler_warmup(worker() | Call.args_or_opts()) ::
          {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def for_sampler_warmup(worker_or_opts) do
    Call.invoke_class("SamplingParams", "for_sampler_warmup", 0, [worker_or_opts])
  end

  @doc "See `for_sampler_warmup/0`."
  @doc group: :parameters
  @spec for_sampler_warmup(worker() | [term()], Call.args_or_opts() | keyword()) ::
          {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def for_sampler_warmup(worker_or_args, args_or_opts) do
    Call.invoke_class("SamplingParams", "for_sampler_warmup", 0, [worker_or_args, args_or_opts])
  end

  @doc "See `for_sampler_warmup/0`."
  @doc group: :parameters
  @spec for_sampler_warmup(worker(), [term()], keyword()) ::
          {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def for_sampler_warmup(worker, args, opts) do
    Call.invoke_class("SamplingParams", "for_sampler_warmup", 0, [worker, args, opts])
  end

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
