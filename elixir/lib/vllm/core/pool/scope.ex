defmodule Vllm.Core.Pool.Scope do
  @moduledoc false
  # The scope of OTP's `:pg` in which instances join pools: a group for each pool, whose members are
  # the processes of the declared engines (Vllm.Core.Instance.Engines), on all connected nodes. The
  # application starts it on each node.

  # Milliseconds to ask again whether it runs.
  @again 200

  @doc "The scope as a child of a supervisor."
  @spec child_spec(term()) :: Supervisor.child_spec()
  def child_spec(_options), do: %{id: __MODULE__, start: {:pg, :start_link, [__MODULE__]}}

  @doc """
  The calling process joins a pool. Returns a monitor of the scope: it forgets its groups when it ends,
  and has to be joined again.
  """
  @spec join(atom()) :: reference()
  def join(pool) do
    monitor = Process.monitor(__MODULE__)
    :ok = :pg.join(__MODULE__, pool, self())
    monitor
  catch
    # It is being started again, or the application is not there. The monitor tells of it.
    :exit, _noproc -> Process.monitor(__MODULE__)
  end

  @doc """
  The members of a pool now. Later the calling process gets `{reference, :join | :leave, pool, pids}`.
  Also returns a monitor, as `join/1` does.
  """
  @spec watch(atom()) :: {reference(), reference(), [pid()]}
  def watch(pool) do
    monitor = Process.monitor(__MODULE__)
    {reference, pids} = :pg.monitor(__MODULE__, pool)
    {monitor, reference, pids}
  catch
    :exit, _noproc -> {Process.monitor(__MODULE__), make_ref(), []}
  end

  @doc "When to join or to watch again after the scope has ended, in milliseconds."
  @spec pause() :: pos_integer()
  def pause, do: @again
end
