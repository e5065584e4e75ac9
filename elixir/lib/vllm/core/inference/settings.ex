defmodule Vllm.Core.Inference.Settings do
  @moduledoc false
  # The options of Vllm.Inference and of its providers.

  alias Vllm.Core.Options
  alias Vllm.Error

  # Loading a model or an adapter takes a while, and a server may have a queue.
  @long 600_000
  @short 60_000

  @max_tokens 2 ** 31 - 1

  @rpc {:rpc, :term, [], "options of the bridge, see `Vllm.Call`; for `timeout`, it goes first."}
  @instance {:instance, :term, nil,
             "the instance whose worker has the provider; the default instance if unset."}

  @maybe_text {:or, [:text, {:in, [nil]}]}
  @maybe_number {:or, [:number, {:in, [nil]}]}

  @generation [
    {:adapter_id, @maybe_text, nil, "the adapter to use, which was loaded before."},
    {:max_tokens, {:range, 1, @max_tokens}, 4096, "the most tokens of the text."},
    {:system_prompt, @maybe_text, nil, "what the model is told about its task."},
    {:temperature, @maybe_number, nil,
     "0 for the likeliest text; the provider's own value if unset."},
    {:top_p, @maybe_number, nil,
     "the share of likely tokens to choose from; the provider's own value if unset."},
    {:repetition_penalty, @maybe_number, nil,
     "above 1 repeats less; the provider's own value if unset."},
    {:timeout, :timeout, @long, "milliseconds, then the text is given up."},
    @rpc
  ]

  @loading [{:timeout, :timeout, @long, "milliseconds."}, @rpc]
  @asking [{:timeout, :timeout, @short, "milliseconds."}, @rpc]

  @selection [
    {:env, :env, %{},
     "variables that stand before those of the worker's environment, from name to string."},
    @instance | @asking
  ]

  @place [@instance | @asking]

  @tables %{
    generation: @generation,
    loading: @loading,
    asking: @asking,
    selection: @selection,
    place: @place
  }

  @type kind :: :generation | :loading | :asking | :selection | :place

  @doc "The options of a kind of function, as documentation."
  @spec docs(kind()) :: String.t()
  def docs(kind), do: @tables |> Map.fetch!(kind) |> Options.docs()

  @doc "Checks the options of a kind of function. `:rpc` in the result has the deadline."
  @spec validate(kind(), term()) :: {:ok, map()} | {:error, Error.t()}
  def validate(kind, opts),
    do: Options.validate_call(Map.fetch!(@tables, kind), opts, "the options of a provider")

  @doc "Splits the options of a constructor into the arguments of the class, and the rest."
  @spec split(term(), [atom()]) :: {:ok, keyword(), keyword()} | {:error, Error.t()}
  def split(opts, names) do
    if Keyword.keyword?(opts) do
      {arguments, opts} = Keyword.split(opts, names)
      {:ok, arguments, opts}
    else
      with {:ok, _settings} <- validate(:place, opts), do: {:ok, [], []}
    end
  end

  @doc "The arguments of a text by name, without those that are not given."
  @spec arguments(map()) :: keyword()
  def arguments(settings) do
    for {name, _type, _default, _doc} <- @generation,
        name not in [:timeout, :rpc],
        (value = settings[name]) != nil,
        do: {name, value}
  end

  @doc "Variables as the worker takes them: a `false` one counts as not given."
  @spec variables(map() | keyword()) :: %{String.t() => String.t()}
  def variables(env),
    do: for({name, text} <- env, text != false, into: %{}, do: {"#{name}", text})
end
