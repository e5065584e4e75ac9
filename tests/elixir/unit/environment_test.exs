defmodule Vllm.EnvironmentTest do
  # Environment variables belong to the whole node.
  use ExUnit.Case, async: false

  alias Vllm.{Environment, Error}

  @moduletag :tmp_dir

  setup do
    names = ["VLLM_BRIDGE_PYTHON", "XDG_CACHE_HOME"]
    before = Map.new(names, &{&1, System.get_env(&1)})
    configured = Application.get_env(:vllm_bridge, :python)
    Enum.each(names, &System.delete_env/1)
    Application.delete_env(:vllm_bridge, :python)

    on_exit(fn ->
      for {name, value} <- before do
        if value, do: System.put_env(name, value), else: System.delete_env(name)
      end

      if configured, do: Application.put_env(:vllm_bridge, :python, configured)
    end)
  end

  test "the option has precedence over the configuration, which has precedence over the variable",
       %{tmp_dir: dir} do
    [option, config, variable] = for name <- ~w(a b c), do: interpreter(dir, name)
    System.put_env("VLLM_BRIDGE_PYTHON", variable)
    assert Environment.python() == {:ok, variable}
    Application.put_env(:vllm_bridge, :python, config)
    assert Environment.python() == {:ok, config}
    assert Environment.python(option) == {:ok, option}
  after
    Application.delete_env(:vllm_bridge, :python)
  end

  test "a named interpreter that is missing is an error, and no other is tried" do
    System.put_env("VLLM_BRIDGE_PYTHON", "/nowhere/python")
    assert {:error, %Error{kind: :worker_down} = error} = Environment.python()
    assert error.message =~ "/nowhere/python"
    assert error.message =~ "VLLM_BRIDGE_PYTHON"
    assert error.message =~ "mix vllm.setup"
  end

  test "without a name it is the interpreter that set-up made", %{tmp_dir: dir} do
    System.put_env("XDG_CACHE_HOME", dir)
    folder = Path.join(dir, "vllm_bridge/venv/bin")
    File.mkdir_p!(folder)
    python = interpreter(folder, "python")
    assert List.last(Environment.candidates()) == python

    unless File.exists?(".venv/bin/python") do
      assert Environment.python() == {:ok, python}
    end
  end

  test "without an interpreter the error says how to install one", %{tmp_dir: dir} do
    System.put_env("XDG_CACHE_HOME", dir)

    File.cd!(dir, fn ->
      assert {:error, %Error{kind: :worker_down} = error} = Environment.python()
      assert error.message =~ "mix vllm.setup"
      assert error.message =~ Path.join(dir, ".venv/bin/python")
    end)
  end

  test "the worker's sources are found" do
    assert {:ok, folder} = Environment.worker_dir()
    assert File.regular?(Path.join(folder, "python_worker/__main__.py"))
  end

  defp interpreter(folder, name) do
    path = Path.join(folder, name)
    File.write!(path, "#!/bin/sh\n")
    File.chmod!(path, 0o755)
    path
  end
end
