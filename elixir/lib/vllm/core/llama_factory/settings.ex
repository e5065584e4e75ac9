defmodule Vllm.Core.LlamaFactory.Settings do
  @moduledoc false
  # The options of Vllm.LlamaFactory's modules.

  alias Vllm.Core.Options
  alias Vllm.Error

  # Making an engine reads a tokenizer, and the first one imports LLaMA-Factory.
  @long 600_000
  @short 60_000

  @rpc {:rpc, :term, [], "options of the bridge, see `Vllm.Call`; for `timeout`, it goes first."}

  @instance {:instance, :term, nil,
             "the instance to ask; the default instance, or that of `engine`, if unset."}

  @engine {:engine, :term, nil,
           "the `Vllm.Ref` of an AsyncLLM, or the name under which an instance declares it. " <>
             "Without it an engine is built from the arguments."}

  @maybe_text {:or, [:text, {:in, [nil]}]}
  @maybe_number {:or, [:number, {:in, [nil]}]}
  @maybe_boolean {:or, [:boolean, {:in, [nil]}]}
  @max 2 ** 31 - 1
  @maybe_count {:or, [{:range, 0, @max}, {:in, [nil]}]}

  # Of `GenerationOptions` in the worker.
  @generation [
    {:temperature, @maybe_number, nil, "0 for the likeliest text."},
    {:top_p, @maybe_number, nil, "the share of likely tokens to choose from; 0 stands for 1."},
    {:top_k, {:or, [{:range, -1, @max}, {:in, [nil]}]}, nil,
     "how many likely tokens to choose from; 0 stands for all."},
    {:num_return_sequences, {:or, [{:range, 1, @max}, {:in, [nil]}]}, nil,
     "how many answers; 1 if unset."},
    {:repetition_penalty, @maybe_number, nil, "above 1 repeats less; 0 stands for 1."},
    {:skip_special_tokens, @maybe_boolean, nil, "whether special tokens are left out of texts."},
    {:max_length, @maybe_count, nil, "the most tokens of prompt and answer together."},
    {:max_new_tokens, @maybe_count, nil,
     "the most tokens of an answer; goes before `max_length`."},
    {:stop, {:or, [:text, {:list, :text}, {:in, [nil]}]}, nil, "texts that end an answer."},
    {:seed, {:or, [{:range, -(2 ** 63), 2 ** 63 - 1}, {:in, [nil]}]}, nil,
     "of the random numbers."},
    {:do_sample, @maybe_boolean, nil, "without effect, as in LLaMA-Factory; the log says so."},
    {:length_penalty, @maybe_number, nil, "without effect, as `do_sample`."},
    {:num_beams, @maybe_count, nil, "without effect, as `do_sample`."}
  ]

  @chat [
    {:system, @maybe_text, nil,
     "what the model is told about its task; the template's own text if unset."},
    {:tools, :term, nil,
     "descriptions of tools: a list of maps or of `Vllm.Tool`, or LLaMA-Factory's JSON of them."},
    {:images, :term, nil, "see *Media*."},
    {:videos, :term, nil, "see *Media*."},
    {:audios, :term, nil, "see *Media*."}
  ]

  # As `generate`, an answer has no limit of time unless it gets one.
  @answering [{:timeout, :timeout, :infinity, "milliseconds, then the answer is given up."}, @rpc]
  @asking [{:timeout, :timeout, @short, "milliseconds."}, @rpc]
  @place [@instance, {:timeout, :timeout, @long, "milliseconds."}, @rpc]

  # How long an engine takes to load only its model knows.
  @new [@engine, @instance, {:timeout, :timeout, :infinity, "milliseconds."}, @rpc]

  @ending [{:timeout, :timeout, @long, "milliseconds."}, @rpc]

  @dataset [
    {:formatting, {:in, ["alpaca", "sharegpt", "openai"]}, "alpaca",
     "how examples are written, as in LLaMA-Factory's `dataset_info.json`."},
    {:columns, {:or, [:map, {:in, [nil]}]}, nil, "the names of the fields, as there."},
    {:tags, {:or, [:map, {:in, [nil]}]}, nil, "the names of the roles, as there."},
    {:cutoff_len, {:range, 1, @max}, 2048,
     "the most tokens of a prompt and the label together; a longer prompt is cut."},
    {:max_samples, {:or, [{:range, 1, @max}, {:in, [nil]}]}, nil,
     "how many examples are answered; all if unset."},
    {:batch_size, {:range, 1, 4096}, 1024, "how many requests run at once."}
  ]

  @tables %{
    new: @new,
    ending: @ending,
    place: @place,
    asking: @asking,
    parameters: @generation ++ @asking,
    prompt: @chat ++ @asking,
    chat: @chat ++ @generation ++ @answering,
    dataset: @dataset ++ @generation ++ @answering
  }

  @names Map.new(
           [generation: @generation, dataset: @dataset],
           fn {name, table} -> {name, Enum.map(table, &elem(&1, 0))} end
         )

  @type kind :: :new | :ending | :place | :asking | :parameters | :prompt | :chat | :dataset

  @doc "The options of a kind of function, as documentation."
  @spec docs(kind()) :: String.t()
  def docs(kind), do: @tables |> Map.fetch!(kind) |> Options.docs()

  @doc "Checks the options of a kind of function. `:rpc` in the result has the deadline."
  @spec validate(kind(), term()) :: {:ok, map()} | {:error, Error.t()}
  def validate(kind, opts),
    do: Options.validate_call(Map.fetch!(@tables, kind), opts, "the options of LLaMA-Factory")

  @doc "The settings of a group that were given, as the worker takes them."
  @spec given(map(), :generation | :dataset) :: map()
  def given(settings, group) do
    for name <- Map.fetch!(@names, group),
        (value = settings[name]) != nil,
        into: %{},
        do: {name, value}
  end
end
