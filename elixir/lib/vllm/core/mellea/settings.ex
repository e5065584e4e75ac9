defmodule Vllm.Core.Mellea.Settings do
  @moduledoc false
  # The options of Vllm.Mellea and of its backend.

  alias Vllm.Core.Mellea.{Hooks, Wire}
  alias Vllm.Core.Options
  alias Vllm.Error

  # A text may have to wait, and be made several times.
  @long 600_000
  @short 60_000

  @max_budget 1000

  @rpc {:rpc, :term, [], "options of the bridge, see `Vllm.Call`; for `timeout`, it goes first."}

  @options {:model_options, :term, nil,
            "options of the model and parameters of the request, over those of the backend; see " <>
              "`Vllm.Mellea.ModelOption`."}

  @tools [
    {:tools, :term, nil, "`Vllm.Tool`s that the model is offered, as a list or by their names."},
    {:tool_calls, :boolean, false,
     "whether tools are offered, and calls are looked for in the text."},
    {:format, :term, nil,
     "a JSON schema that the text has to fit, or a module with `json_schema/0`. Then no tools are " <>
       "offered."}
  ]

  @hooks [
    {:hooks, :term, [],
     "functions that run before and after each text, by Mellea's names of them; see the hooks of " <>
       "`Vllm.Mellea`."},
    {:hook_timeout, :timeout, 60_000, "how many milliseconds one hook may take."}
  ]

  @prompt [
    @options
    | @tools ++
        [
          {:alora, :term, nil, "not supported."},
          {:timeout, :timeout, @long, "milliseconds."},
          @rpc
        ]
  ]

  @generation @hooks ++ @prompt

  @images {:images, :term, [],
           "what the model is shown with it, if it takes images; see `Vllm.Mellea.Message`."}

  @asking [{:timeout, :timeout, @short, "milliseconds."}, @rpc]

  @place {:instance, :term, nil,
          "the instance on whose worker the engine is built; the default instance if unset."}

  @worker {:instance, :term, nil,
           "the instance whose worker does it; the default instance if unset."}

  @tables %{
    asking: @asking,
    building: [{:timeout, :timeout, :infinity, "milliseconds."}, @rpc],
    thunk: [{:timeout, :timeout, @long, "milliseconds."}, @rpc],
    prompt: @prompt,
    generation: @generation,
    raw:
      @hooks ++
        [
          @options,
          {:format, :term, nil, "a JSON schema that the texts have to fit."},
          {:tool_calls, :boolean, false, "without effect; mellea warns of it."},
          {:timeout, :timeout, @long, "milliseconds."},
          @rpc
        ],
    begun: [
      {:action, :term, "", "what it is an answer to; it decides how the text is parsed."},
      @options,
      {:timeout, :timeout, @short, "milliseconds."},
      @rpc
    ],
    parsing: [@worker | @asking],
    arguments: [
      {:coerce_types, :boolean, true, "whether `\"3\"` is 3 for an integer, and the like."},
      {:strict, :boolean, false,
       "whether arguments that do not fit are an error; otherwise they are returned as they are."},
      @worker
      | @asking
    ],
    instruct: [
      {:requirements, :term, [],
       "what is required: texts, or `Vllm.Mellea.Requirement`s with a function."},
      {:icl_examples, :term, [], "examples of good texts."},
      {:grounding_context, :term, %{}, "texts to go by, by their names."},
      {:user_variables, :term, nil,
       "values for the `{{ names }}` in all texts of the instruction."},
      {:prefix, :term, nil, "what the text begins with."},
      @images,
      {:strategy, {:in, [:rejection, :repair_template, :multi_turn, nil]}, :rejection,
       "how it goes on after a text that does not meet the requirements: the same prompt again, the " <>
         "reasons in the instruction, or the reasons as a turn of the chat. `nil` checks nothing."},
      {:loop_budget, {:range, 1, @max_budget}, 2, "how many texts are made at most."},
      {:concurrency_budget, {:range, 1, 256}, 1,
       "how many rows of so many texts are made at the same time."},
      {:validator_timeout, :timeout, 60_000, "how many milliseconds one verdict may take."}
      | @generation
    ],
    chat: [{:role, :term, :user, "the role of the message."}, @images | @generation],
    validate: [
      {:output, :term, nil, "a text or a thunk; the last output of the session if unset."},
      @options,
      {:validator_timeout, :timeout, 60_000, "how many milliseconds one verdict may take."},
      {:timeout, :timeout, @long, "milliseconds."},
      @rpc
      | @hooks
    ],
    session: [
      {:context, :term, nil,
       "what was said before: a `Vllm.Mellea.ChatContext`, or a `Vllm.Mellea.SimpleContext`, which is " <>
         "the default."}
      | @asking
    ],
    backend: [
      @options,
      {:formatter, :term, nil,
       "the reference of a `Vllm.Mellea.TemplateFormatter`; mellea's own templates if unset."},
      {:engine, :term, nil,
       "the reference of a `Vllm.AsyncLLM`, or the name of a declared engine, to generate with. It " <>
         "stays its owner's. Without it an engine is built."},
      @place,
      {:timeout, :timeout, :infinity, "milliseconds, for each attempt to build the engine."},
      @rpc
    ],
    formatter: [
      {:template_path, :path, "",
       "a folder on the worker's machine whose templates come before mellea's. A template of a file " <>
         "is a program."},
      {:use_template_cache, :boolean, true, "whether templates that were found are kept."},
      @worker | @asking
    ]
  }

  @type kind :: atom()

  @doc "The options of a kind of function, as documentation."
  @spec docs(kind()) :: String.t()
  def docs(kind), do: @tables |> Map.fetch!(kind) |> Options.docs()

  @doc "Checks the options of a kind of function. `:rpc` in the result has the deadline."
  @spec validate(kind(), term()) :: {:ok, map()} | {:error, Error.t()}
  def validate(kind, opts) do
    with {:ok, settings} <- Options.validate_call(Map.fetch!(@tables, kind), opts, "the options"),
         {:ok, settings} <- with_options(settings),
         :ok <- check_alora(settings),
         :ok <- Hooks.check(Map.get(settings, :hooks, [])),
         do: {:ok, settings}
  end

  defp with_options(%{model_options: options} = settings) do
    with {:ok, options} <- Wire.options(options),
         do: {:ok, %{settings | model_options: options}}
  end

  defp with_options(settings), do: {:ok, settings}

  defp check_alora(settings) do
    if settings[:alora] in [nil, false],
      do: :ok,
      else: {:error, Error.new(:unsupported, "alora: vLLM has no activated adapters")}
  end

  @doc "The arguments of a text by name, without those that are not given."
  @spec arguments(map()) :: keyword()
  def arguments(settings) do
    named = [
      model_options: settings[:model_options],
      tool_calls: settings[:tool_calls],
      tools: Wire.tools(settings[:tools]),
      format: Wire.format(settings[:format])
    ]

    Enum.reject(named, fn {_name, value} -> value in [nil, false, %{}] end)
  end

  @doc "The strategy of an instruction."
  @spec strategy(map()) :: map() | nil
  def strategy(%{strategy: nil}), do: nil

  def strategy(settings) do
    %{
      "name" => Atom.to_string(settings.strategy),
      "loop_budget" => settings.loop_budget,
      "concurrency_budget" => settings.concurrency_budget
    }
  end
end
