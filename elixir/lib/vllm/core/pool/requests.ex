defmodule Vllm.Core.Pool.Requests do
  @moduledoc false
  # Makes a request of an engine that is given by its name, `{MyApp.Vllm, :chat}`. In a pool the request
  # goes to another member if the first has not accepted it.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Instance.{Declared, Locator}
  alias Vllm.Core.Options
  alias Vllm.Core.Pool.{Choice, Lookup}
  alias Vllm.Core.Telemetry.Emitter

  # The methods of an engine that any member can carry out.
  @requests ~w(generate encode add_request chat stream_chat embed classify score encode_batch)

  # Errors of a member that has not begun with the request.
  @refused [:draining, :stale_ref, :overloaded, :unreachable]

  # The member, or its engine, ended before it accepted the request. It may have begun, and the request
  # may be what ended it: so it is sent at most so many times.
  @lost [:worker_down, :engine_dead]
  @max_lost 3

  # Milliseconds to wait for an engine that is being built, as `Vllm.engine/2` does.
  @patience 60_000

  @typedoc "`:begun?` tells whether elements of an argument that is an enumerable have been taken."
  @type options :: %{affinity: term(), timeout: timeout() | nil, begun?: (() -> boolean())}

  @typedoc "Makes the call; with the time that is left, if it is limited."
  @type call(result) :: (Ref.t(), timeout() | nil -> result)

  @doc "Calls a method of the engine that is named, or of one of the engines."
  @spec run({term(), term()}, String.t(), options(), call(result)) :: result | {:error, Error.t()}
        when result: {:ok, term()} | {:error, Error.t()}
  def run({place, engine}, method, options, call) do
    with :ok <- Options.check(:atom, engine, "the name of an engine"),
         {:ok, {name, node} = location} <- Locator.locate(place) do
      if node == node() and Lookup.pool?(name),
        do: in_pool(name, engine, method, options, call),
        else: in_instance(location, engine, options, call)
    end
  end

  defp in_instance(location, engine, options, call) do
    ends = ends(options.timeout)

    with {:ok, ref} <- Declared.fetch(location, engine, patience(ends)),
         do: call.(ref, left(ends))
  end

  defp in_pool(pool, engine, method, options, call) when method in @requests do
    attempt(%{
      pool: pool,
      engine: engine,
      method: method,
      affinity: affinity(options.affinity),
      begun?: options.begun?,
      ends: ends(options.timeout),
      call: call,
      tried: [],
      lost: 0,
      error: nil
    })
  end

  defp in_pool(pool, engine, method, _options, _call) do
    {:error,
     Error.new(
       :invalid,
       "#{method} is for one engine, and #{inspect(pool)} is a pool: call it for each member with " <>
         "Vllm.Pool.each(#{inspect(pool)}, #{inspect(engine)}, fun), or for one that " <>
         "Vllm.Pool.pick(#{inspect(pool)}, #{inspect(engine)}) returns"
     )}
  end

  @doc "The affinity that an option asks for."
  @spec affinity(term()) :: Choice.affinity()
  def affinity(nil), do: nil
  def affinity(key), do: {:key, key}

  defp attempt(request) do
    with {:ok, member} <- next(request),
         do: member.ref |> request.call.(left(request.ends)) |> judged(member, request)
  end

  defp next(%{tried: []} = request),
    do: Lookup.member(request.pool, request.engine, request.affinity, patience(request.ends))

  # The error of the last member is the answer if there is no other.
  defp next(request) do
    case Lookup.choose(request.pool, request.engine, request.affinity, request.tried) do
      nil ->
        {:error, request.error}

      member ->
        moved(request, member)
        {:ok, member}
    end
  end

  defp judged({:error, %Error{kind: kind} = error} = failed, member, request)
       when kind in @refused or kind in @lost do
    lost = request.lost + if(kind in @lost, do: 1, else: 0)

    # Elements that were taken cannot be given to another.
    if lost < @max_lost and not request.begun?.() do
      attempt(%{request | tried: [member.instance | request.tried], lost: lost, error: error})
    else
      failed
    end
  end

  defp judged(result, _member, _request), do: result

  defp moved(request, member) do
    Emitter.event([:vllm, :pool, :moved], %{attempt: length(request.tried) + 1}, %{
      pool: request.pool,
      engine: request.engine,
      method: request.method,
      from: hd(request.tried),
      to: member.instance,
      error: request.error
    })
  end

  defp ends(timeout) when is_integer(timeout), do: now() + timeout
  defp ends(none), do: none

  defp left(ends) when is_integer(ends), do: max(ends - now(), 0)
  defp left(none), do: none

  defp patience(ends) when is_integer(ends), do: min(left(ends), @patience)
  defp patience(_none), do: @patience

  defp now, do: System.monotonic_time(:millisecond)
end
