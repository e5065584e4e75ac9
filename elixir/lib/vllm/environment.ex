defmodule Vllm.Environment do
  @moduledoc """
  Finds the Python interpreter and the worker's sources.

  The interpreter is the first of these that exists:

    1. the option `:python` of the instance
    2. `config :vllm_bridge, python: "/path/to/python"`
    3. the environment variable `VLLM_BRIDGE_PYTHON`
    4. `.venv/bin/python` in the current directory
    5. `~/.cache/vllm_bridge/venv/bin/python`, which `mix vllm.setup` makes (`XDG_CACHE_HOME` is
       respected)

  An interpreter that is named explicitly (1 to 3) and cannot be used is an error: no other one is tried.
  """

  alias Vllm.Core.Options
  alias Vllm.Error

  # In this repository the sources are next to the Elixir code. A dependency and a release have them in
  # priv/python, where a compiler in mix.exs puts them.
  @source_root Path.expand("../../..", __DIR__)

  @doc "Finds the interpreter. `explicit` is the option `:python` of an instance, or `nil`."
  @spec python(String.t() | nil) :: {:ok, Path.t()} | {:error, Error.t()}
  def python(explicit \\ nil) do
    named =
      [
        {"the option :python", explicit},
        {"config :vllm_bridge, python:", Application.get_env(:vllm_bridge, :python)},
        {"VLLM_BRIDGE_PYTHON", System.get_env("VLLM_BRIDGE_PYTHON")}
      ]
      |> Enum.find(fn {_source, path} -> path not in [nil, ""] end)

    case named do
      {source, path} ->
        with :ok <- Options.check(:string, path, source), do: check_named(source, path)

      nil ->
        find(candidates())
    end
  end

  @doc "The paths that are tried when no interpreter is named."
  @spec candidates() :: [Path.t()]
  def candidates do
    [Path.expand(".venv/bin/python"), Path.join(cache_dir(), "venv/bin/python")]
  end

  @doc "The folder for files that are made once per user: `~/.cache/vllm_bridge`."
  @spec cache_dir() :: Path.t()
  def cache_dir do
    case System.get_env("XDG_CACHE_HOME") do
      path when path in [nil, ""] -> Path.expand("~/.cache/vllm_bridge")
      path -> Path.join(path, "vllm_bridge")
    end
  end

  @doc "The folder that holds the Python package `python_worker`."
  @spec worker_dir() :: {:ok, Path.t()} | {:error, Error.t()}
  def worker_dir do
    folders = [priv_dir(), @source_root]

    case Enum.find(folders, &File.dir?(Path.join(&1, "python_worker"))) do
      nil ->
        {:error,
         Error.new(
           :worker_down,
           "the Python package python_worker is missing; it is in none of " <>
             "#{Enum.join(folders, ", ")}: compile vllm_bridge again with mix compile --force"
         )}

      folder ->
        {:ok, folder}
    end
  end

  defp priv_dir do
    case :code.priv_dir(:vllm_bridge) do
      {:error, :bad_name} -> @source_root
      path -> Path.join(List.to_string(path), "python")
    end
  end

  defp check_named(source, path) do
    # A bare name such as "python3" is searched for in PATH, as in a shell.
    case System.find_executable(path) do
      nil ->
        {:error,
         Error.new(
           :worker_down,
           "#{path}, from #{source}, is not an executable file; run `mix vllm.setup` to make " <>
             "a Python environment, or name another interpreter"
         )}

      found ->
        {:ok, found}
    end
  end

  defp find(candidates) do
    case Enum.find(candidates, &System.find_executable/1) do
      nil ->
        {:error,
         Error.new(
           :worker_down,
           "no Python environment was found (tried #{Enum.join(candidates, " and ")}); " <>
             "run `mix vllm.setup`, or set VLLM_BRIDGE_PYTHON to an interpreter that has vLLM"
         )}

      path ->
        {:ok, path}
    end
  end
end
