defmodule Vllm.Core.Mellea.Attempts do
  @moduledoc false
  # The arguments that an engine is tried with, one after the other: each time there is less of one of
  # three, in turn, as mellea did it.

  alias Vllm.{AsyncEngineArgs, Error}

  @fields AsyncEngineArgs.__struct__() |> Map.from_struct() |> Map.keys()
  @by_name Map.new(@fields, &{Atom.to_string(&1), &1})

  @defaults %{gpu_memory_utilization: 0.9, max_num_seqs: 16, max_model_len: 16_384}

  # Nothing of these errors is mended by a smaller engine.
  @final [:worker_down, :draining, :stale_ref, :protocol, :timeout, :cancelled] ++
           [:missing_dependency, :unsupported, :overloaded]

  @turns [:max_num_seqs, :gpu_memory_utilization, :max_model_len]
  @smallest_share 0.1

  # In vLLM's message, whatever the cache's real folder is.
  @broken_cache "vllm/torch_compile_cache"

  @doc """
  The engine arguments among options of the model. Their names are the engine's, or mellea's where it
  has one; what is no argument of the engine is left out.
  """
  @spec engine_args(map()) :: {:ok, map()} | {:error, Error.t()}
  def engine_args(%{"model" => _model}) do
    message = "model_options: the model is the first argument, and cannot be an option as well"
    {:error, Error.new(:invalid, message, details: %{"parameter" => "model"})}
  end

  def engine_args(options) do
    given =
      for {name, value} <- options,
          field = @by_name[plain(name)],
          value != nil,
          into: %{},
          do: {field, value}

    {:ok, Map.merge(@defaults, given)}
  end

  # A name that both know, such as the seed, is meant for both.
  defp plain("@@@" <> rest), do: String.replace_suffix(rest, "@@@", "")
  defp plain(name), do: name

  @doc """
  Builds an engine with `build`, again with less after a failure, until the least has failed too.
  Returns what it was built from as well.

  If vLLM says that its compile cache is broken, `remove_cache` is called, once, and the same arguments
  are tried again.
  """
  @spec run(
          map(),
          (map() -> {:ok, term()} | {:error, Error.t()}),
          (() -> {:ok, term()} | {:error, Error.t()})
        ) :: {:ok, term(), map()} | {:error, Error.t()}
  def run(args, build, remove_cache), do: attempt(args, build, @turns, remove_cache)

  # `remove_cache` is nil after it was called.
  defp attempt(args, build, turns, remove_cache) do
    case build.(args) do
      {:ok, engine} ->
        {:ok, engine, args}

      {:error, %Error{kind: kind} = error} when kind in @final ->
        {:error, error}

      {:error, error} ->
        if remove_cache != nil and broken_cache?(error),
          do: without_cache(args, error, build, turns, remove_cache),
          else: with_less(args, error, build, turns, remove_cache)
    end
  end

  # vLLM's advice. What it says may be in the log only, of which an error has the last lines.
  defp broken_cache?(%Error{message: message, details: details}) do
    [message | List.wrap(details["log"])] |> Enum.join("\n") |> String.contains?(@broken_cache)
  end

  defp without_cache(args, error, build, turns, remove_cache) do
    case remove_cache.() do
      {:ok, _path} ->
        attempt(args, build, turns, nil)

      {:error, failure} ->
        message = "#{error.message}; the compile cache could not be removed: #{failure.message}"

        {:error, Error.new(:engine_error, message, cause: error)}
    end
  end

  defp with_less(args, error, build, [turn | turns], remove_cache),
    do: again(smaller(args, turn), error, build, turns ++ [turn], remove_cache)

  defp again({:ok, args}, _error, build, turns, remove_cache),
    do: attempt(args, build, turns, remove_cache)

  defp again({:error, args}, error, _build, _turns, _remove_cache) do
    message =
      "the engine did not start, not even with max_num_seqs #{shown(args.max_num_seqs)}, " <>
        "gpu_memory_utilization #{shown(args.gpu_memory_utilization)} and max_model_len " <>
        "#{shown(args.max_model_len)}; the last error was: #{error.message}"

    {:error, Error.new(:engine_error, message, cause: error)}
  end

  @doc "The arguments with less of one, or those that were the last to try."
  @spec smaller(map(), atom()) :: {:ok | :error, map()}
  def smaller(args, turn) do
    less = Map.update!(args, turn, &less(turn, &1))
    if Enum.all?(@turns, &enough?(&1, less[&1])), do: {:ok, less}, else: {:error, args}
  end

  defp less(:gpu_memory_utilization, share) when is_number(share), do: share * 0.9
  defp less(_turn, count) when is_integer(count), do: div(count, 2)
  defp less(_turn, other), do: other

  defp enough?(:gpu_memory_utilization, share), do: is_number(share) and share >= @smallest_share
  # What is no number gets no smaller.
  defp enough?(_turn, count), do: is_integer(count) and count > 0

  defp shown(value), do: inspect(value, limit: 3, printable_limit: 50)
end
