defmodule Vllm.Core.Pool.Choice do
  @moduledoc false
  # Chooses one of the members of a pool that have an engine. A value without process: what is known of
  # a member's load lies in an array of integers (`:atomics`), which the pool's process writes and
  # every caller reads.
  #
  # Without a key the member with the least load is chosen. The load is that of vLLM's own balancer of
  # data parallel ranks, `4 * waiting + running`, as the worker has reported it, and the requests that
  # this node has sent since.
  #
  # With a key, requests with the same key go to the same member, in whose prefix cache their beginning
  # is. Members are ranked by a hash of key and member (rendezvous hashing), so each key keeps its member
  # when others come and go. A member that has much more to do than the others is passed over: then
  # the next in the key's rank is chosen.

  alias Vllm.Ref
  alias Vllm.Core.Instance.Locator

  # Places in the array.
  @sent 1
  @running 2
  @waiting 3
  @kv_cache 4
  @size 4

  # How many requests wait counts so much more than how many run.
  @waiting_weight 4

  # A member may have half as much more than the mean, and some requests on top: few requests are no load.
  @slack 8

  @enforce_keys [:instance, :ref, :load]
  defstruct [:instance, :ref, :load, stalled?: false]

  @typedoc "A member with an engine that can be used."
  @type t :: %__MODULE__{
          instance: Locator.instance(),
          ref: Ref.t(),
          load: :atomics.atomics_ref(),
          stalled?: boolean()
        }

  @typedoc "`nil`, or `{:key, term}`."
  @type affinity :: nil | {:key, term()}

  @doc "The array of a member of which nothing is known yet."
  @spec new_load() :: :atomics.atomics_ref()
  def new_load, do: :atomics.new(@size, signed: true)

  @doc "The worker has reported a load. What was sent before is in it."
  @spec reported(:atomics.atomics_ref(), {integer(), integer(), integer()}) :: :ok
  def reported(load, {running, waiting, kv_cache_permille}) do
    :atomics.put(load, @running, running)
    :atomics.put(load, @waiting, waiting)
    :atomics.put(load, @kv_cache, kv_cache_permille)
    :atomics.put(load, @sent, 0)
  end

  @doc "What was sent some time ago is in a report by now, or was refused."
  @spec forget_sent(:atomics.atomics_ref()) :: :ok
  def forget_sent(load), do: :atomics.put(load, @sent, 0)

  @doc "A request is sent to a member."
  @spec sent(t()) :: :ok
  def sent(%__MODULE__{load: load}), do: :atomics.add(load, @sent, 1)

  @doc "The numbers of an array, for people."
  @spec numbers(:atomics.atomics_ref()) :: map()
  def numbers(load) do
    %{
      running: :atomics.get(load, @running),
      waiting: :atomics.get(load, @waiting),
      sent: :atomics.get(load, @sent),
      kv_cache_usage: :atomics.get(load, @kv_cache) / 1000
    }
  end

  @doc "One of the members, none of them in `tried`. Nil if there is none."
  @spec choose([t()], affinity(), [Locator.instance()]) :: t() | nil
  def choose(members, affinity, tried) do
    members = if tried == [], do: members, else: Enum.reject(members, &(&1.instance in tried))

    case well(members) do
      [] -> nil
      [only] -> only
      several -> among(several, affinity)
    end
  end

  # An engine that hangs is better than none.
  defp well(members) do
    if Enum.any?(members, & &1.stalled?) do
      case Enum.reject(members, & &1.stalled?) do
        [] -> members
        well -> well
      end
    else
      members
    end
  end

  defp among([first | rest], nil), do: least(rest, first, score(first), 1)

  defp among(members, {:key, key}) do
    loads = Enum.map(members, &score/1)
    # Twice the mean and the slack, without fractions: 2 * load > 3 * mean + 2 * slack.
    limit = 3 * Enum.sum(loads) / length(loads) + 2 * @slack

    members
    |> Enum.zip(loads)
    |> Enum.filter(fn {_member, load} -> 2 * load <= limit end)
    |> Enum.max_by(fn {member, _load} -> :erlang.phash2({key, member.instance}, 4_294_967_296) end)
    |> elem(0)
  end

  # Of several with the same load each is as likely: other nodes choose as well.
  defp least([], best, _score, _equal), do: best

  defp least([member | rest], best, least, equal) do
    case score(member) do
      score when score < least -> least(rest, member, score, 1)
      ^least -> least(rest, one_of(equal, member, best), least, equal + 1)
      _more -> least(rest, best, least, equal)
    end
  end

  defp one_of(equal, member, best),
    do: if(:rand.uniform(equal + 1) == 1, do: member, else: best)

  defp score(%{load: load}) do
    @waiting_weight * :atomics.get(load, @waiting) + :atomics.get(load, @running) +
      :atomics.get(load, @sent)
  end
end
